# What arrives on stdin is judged in a folder of root's in memory, and passed on from there.
BOX='' job=''

# take: save all of stdin as in of the folder BOX.
take() {
  BOX=$(mktemp -d /run/reconcile-host.XXXXXXXXXX) || refuse 'no room in /run'
  trap 'rm -rf "${BOX:?}"' EXIT
  trap 'exit 1' HUP INT TERM
  timeout 60 head -c $((LONGEST + 1)) >"$BOX/in" || refuse 'stdin did not come within a minute'
  [ "$(stat -c %s "$BOX/in")" -le $LONGEST ] || refuse 'stdin is too long'
}

# hand_on FILE: the file is stdin from here on. Take BOX away.
hand_on() {
  exec <"$1" || refuse 'stdin cannot be handed on'
  rm -rf "${BOX:?}"
  trap - EXIT HUP INT TERM
}

# stdin_KIND: judge stdin and pass it on. The scripts' signatures name the kinds.
stdin_none() { exec </dev/null; }

# stdin_upload: the script judges it while it unpacks it.
stdin_upload() { :; }

# stdin_terminal: only a program of the app's user reads it.
stdin_terminal() { :; }
stdin_reason() {
  take
  sound_text "$BOX/in"
  hand_on "$BOX/in"
}
stdin_digests() {
  take
  grep -qavxE '[0-9a-f]{16}' "$BOX/in"
  [ $? = 1 ] || refuse 'stdin is not a list of digests'
  hand_on "$BOX/in"
}
stdin_route() {
  take
  sound_route "$BOX/in"
  hand_on "$BOX/in"
}

# stdin_slot: a tar of env and unit, and of what a node or Traefik also needs; and of the program that is started, if that
# is in the release.
stdin_slot() {
  take
  names=$(tar -tf - <"$BOX/in" 2>/dev/null | sort | tr '\n' ' ')
  set -- env unit
  case $names in *'program '*) set -- "$@" program ;; esac
  case $names in
    'env epmd '*) set -- "$@" epmd ;;
    'certificate default '*)
      [ "$app" = traefik ] || refuse 'only Traefik has a certificate here'
      set -- "$@" certificate default
      ;;
  esac
  judged_tar "$@"
}

# stdin_jobs: a tar of units of jobs of this app.
stdin_jobs() {
  [ "$app" != traefik ] || refuse 'Traefik has no jobs'
  take
  names=$(tar -tf - <"$BOX/in" 2>/dev/null) || refuse 'stdin is no tar'
  set -f
  # shellcheck disable=SC2086 # one word a name, since -f is set
  set -- $names
  for name; do find_job "$name"; done
  judged_tar "$@"
}

# find_job NAME: set job to the job of which this is a unit, and form to what that must look like.
find_job() {
  case $1 in "$app--"*) job=${1#"$app--"} ;; *) refuse 'the tar holds something else than units of jobs' ;; esac
  case $job in
    *@.service) job=${job%@.service} form=$JOB_FORM ;;
    *.service) job=${job%.service} form=$STARTER_FORM ;;
    *.timer) job=${job%.timer} form=$TIMER_FORM ;;
    *) refuse 'the tar holds something else than units of jobs' ;;
  esac
  is_job "$job" || refuse 'a unit of the tar bears a name that no job may have'
}

# stdin_tar NAME…: a tar of these files; or with the word history, of files named after apps.
stdin_tar() {
  take
  judged_tar "$@"
}

# judged_tar NAME…: the same, once stdin was taken.
judged_tar() {
  set -f
  names=$(tar -tf - <"$BOX/in" 2>/dev/null) || refuse 'stdin is no tar'
  kinds=$(tar -tvf - <"$BOX/in" 2>/dev/null) || refuse 'stdin is no tar'
  if [ "$1" = history ]; then
    # shellcheck disable=SC2086 # one word a name, since -f is set
    set -- $names
    for name; do app_shaped "$name" || refuse 'a file of the tar is named after no app'; done
  else
    [ "$(printf '%s\n' "$names" | sort)" = "$(printf '%s\n' "$@" | sort)" ] || refuse 'the tar does not hold what it should'
  fi
  [ "$(printf '%s\n' "$names" | sort -u)" = "$(printf '%s\n' "$names" | sort)" ] || refuse 'the tar holds a name twice'
  if [ $# -gt 0 ]; then
    printf '%s\n' "$kinds" | grep -qv '^-'
    [ $? = 1 ] || refuse 'the tar holds something else than plain files'
  fi
  mkdir "$BOX/out" || refuse 'no room in /run'
  for name; do
    (ulimit -f 32768 && exec tar -xOf - -- "$name" <"$BOX/in" >"$BOX/out/$name" 2>/dev/null) || refuse 'the tar cannot be read'
    case $name in
      env) sound_env "$BOX/out/env" ;;
      unit) sound_unit "$BOX/out/unit" ;;
      route) sound_route "$BOX/out/route" ;;
      epmd) sound_epmd "$BOX/out/epmd" ;;
      program) sound_program "$BOX/out/program" ;;
      "$app--"*) sound_job "$name" ;;
      default) sound_default "$BOX/out/default" ;;
      *) sound_text "$BOX/out/$name" ;;
    esac
  done
  tar -cf "$BOX/stdin" -C "$BOX/out" -T /dev/null -- "$@" || refuse 'no room in /run'
  hand_on "$BOX/stdin"
  set +f
}

# no_byte_of FILE CHARACTERS: true if the file has none of these characters, written as for tr.
no_byte_of() {
  [ "$(tr -dc "$2" <"$1" | wc -c)" = 0 ]
}

# sound_KIND FILE: refuse a file that is not of this kind.
sound_text() { no_byte_of "$1" '\000' || refuse 'stdin holds a NUL'; }

# sound_program FILE: refuse anything but one line with a path below the release.
sound_program() {
  sound_text "$1"
  started=$(cat "$1")
  { [ "$(wc -l <"$1")" = 1 ] && short "$started" 1024 && only 0-9A-Za-z._/+@- "$started"; } ||
    refuse 'the program is no path in a release'
  case /$started/ in *//* | */../*) refuse 'the program is no path in a release' ;; esac
}

# sound_form FILE FORM WHAT: refuse the file, which is called WHAT, unless all of it matches the form, line by line.
sound_form() {
  no_byte_of "$1" '\000-\011\013-\037\177-\377' || refuse "the $3 holds characters that it should not"
  form=$(printf '%s' "$2" | sed "s/@APP@/$app/g; s/@JOB@/$job/g; s/@USER@/${app%%--*}/g" | tr '\n' '\001')
  { [ -n "$form" ] && tr '\n' '\001' <"$1" | grep -qxE -e "$form"; } || refuse "the $3 is not of the form that this host takes"
}
sound_epmd() { sound_form "$1" "$EPMD_FORM" 'unit of the port mapper'; }
sound_default() { sound_form "$1" "$DEFAULT_FORM" 'default certificate file'; }
# sound_env FILE: accept only the form in which reconcile writes env files, and which every systemd reads in the same way:
# a comment with the identity, one for each key, RECONCILE_INSTANCE, then NAME="value" in the order of the names. All values
# are quoted and may have several lines. Before 254 systemd continues a comment that ends in a backslash, and ends one at a
# carriage return, so other comments are refused; so are names that systemd or reconcile sets.
sound_env() {
  sound_text "$1"
  IFS= read -r first <"$1" # the scripts read the release from it
  case $first in '# reconcile '*) first=${first#'# reconcile '} ;; *) refuse 'the env does not say what it is of' ;; esac
  { is_identity "$first" && is_release "${first%%/*}"; } || refuse 'the env does not say what it is of'
  [ "$(tail -c 1 "$1")" = '' ] || refuse 'the env is not of the form that this host takes: its last line does not end'
  LC_ALL=C awk -v taken=" $TAKEN_KEYS RECONCILE_INSTANCE " -v instance="RECONCILE_INSTANCE=\"$first\"" '
    NR == 1 || (!begun && /^# key [A-Za-z_][A-Za-z0-9_]* [0-9a-z]+$/) {next}
    !begun {
      if ($0 != instance) {bad = 1; exit}
      begun = 1
      next
    }
    !open {
      if (!match($0, /^[A-Za-z_][A-Za-z0-9_]*="/)) {bad = 1; exit}
      name = substr($0, 1, RLENGTH - 2)
      if (index(taken, " " name " ") || name <= last) {bad = 1; exit}
      last = name
      $0 = substr($0, RLENGTH + 1)
      open = 1
    }
    {
      gsub(/\\["\\$`]/, "")
      if ($0 ~ /[\\$`]/) {bad = 1; exit}
      if (sub(/"$/, "")) open = 0
      if ($0 ~ /"/) {bad = 1; exit}
    }
    END {exit bad || open || !begun}' "$1" || refuse 'the env is not of the form that this host takes, or sets a variable that is not an app'"'"'s'
}

# sound_unit FILE: the unit of an app.
sound_unit() {
  case $app in
    traefik) sound_form "$1" "$PROXY_FORM" unit ;;
    *) sound_form "$1" "$UNIT_FORM" unit ;;
  esac
  sound_rights "$1"
}

# sound_job NAME: a unit of a job of this app, of the tar that is in BOX.
sound_job() {
  find_job "$1"
  sound_form "$BOX/out/$1" "$form" 'unit of a job'
  sound_rights "$BOX/out/$1"
}

# sound_rights FILE: refuse a unit with capabilities or writable paths that only root may give.
sound_rights() {
  capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$1") ambient=$(sed -n 's/^AmbientCapabilities=//p' "$1")
  for each in $capabilities $ambient; do
    case " $CAPABILITIES " in *" $each "*) ;; *) refuse "an app may not have $each here, only $CAPABILITIES: only root gives more" ;; esac
  done
  paths=$(sed -n 's/^ReadWritePaths=//p; s/^BindPaths=//p' "$1")
  for each in $paths; do
    may_be_written "$each" || refuse "an app may not write to $each here: only root allows it"
  done
}

# may_be_written PATH: true if it is below a folder for data, and no program of root's keeps its own there.
may_be_written() {
  case $1 in *..* | */./* | *//*) return 1 ;; esac
  for folder in "$RELEASES" "$ENV" "$UNITS" "$STATE" "$ROUTES"; do
    case "$1/ $folder/" in "$folder/"* | *" $1/"*) return 1 ;; esac
  done
  case $1 in
    /var/lib/reconcile* | /var/lib/dpkg* | /var/lib/apt* | /var/lib/systemd* | /var/lib/private* | /var/lib/sudo*) return 1 ;;
    /var/lib/?* | /var/cache/?* | /var/log/?* | /var/spool/?* | /mnt/?* | /media/?* | /data | /data/?* | /opt/?*) ;;
    *) return 1 ;;
  esac
}

# sound_route FILE: double braces are refused, since Traefik would run what is between them.
sound_route() {
  if grep -qF '{{' "$1"; then refuse 'the route holds {{'; fi
  sound_form "$1" "$ROUTE_FORM" route
  ! grep -qiE '^ *entryPoints: \["traefik"\]' "$1" || refuse 'the route is on the entry point of the API of Traefik itself'
}
