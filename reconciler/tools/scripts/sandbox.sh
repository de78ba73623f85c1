# What another program of an app is given, beside its instances: the user, the folder, the env and the sandbox of a slot.

# sandbox_of UNIT-FILE: print the properties of its sandbox as systemd-run takes them, one a line: what the slot's unit says
# from `# The sandbox` on.
sandbox_of() {
  sed -n '/^# The sandbox/,/^\[Install]/{/^[A-Z][A-Za-z]*=/p}' "$1"
}

# unit_of UNITS APP SLOT: print the file that says how the instance in the slot runs: one of its own while it is on trial.
# shellcheck disable=SC2329 # not every script needs it, here and below
unit_of() {
  on_trial=${TRIAL_UNITS:-/run/systemd/system}/$2@$3.service
  [ -e "$on_trial" ] || on_trial=$1/$2@.service
  echo "$on_trial"
}

# demand_env ENV APP SLOT: fail unless there is something in the slot.
# shellcheck disable=SC2329
demand_env() {
  [ -r "$1/$2/$3.env" ] || {
    echo "slot $3 of $2 has no env file" >&2
    exit 1
  }
}

# properties_beside FOLDER ENV-FILE UNIT-FILE: print those that a program in this folder has beside an instance, in every scope.
# shellcheck disable=SC2329
properties_beside() {
  printf '%s\n' "WorkingDirectory=$1" "EnvironmentFile=$2" Environment=LANG=C.UTF-8 Environment=RELEASE_DISTRIBUTION=none \
    UMask=0077
  sandbox_of "$3"
}

# run_beside APP FOLDER ENV-FILE UNIT-FILE PROGRAM OPTION…: run the program, which is a file for a shell, or stdin if it is empty, with
# more options of systemd-run, and wait. Returns what it ends with.
# shellcheck disable=SC2329
run_beside() {
  name=$1 program=$5
  properties=$(properties_beside "$2" "$3" "$4")
  shift 5
  while IFS= read -r line; do [ -z "$line" ] || set -- "$@" -p "$line"; done <<LINES
$properties
LINES
  user=${name%%--*} # a process has the user of its app
  systemd-run --quiet --wait --collect -p DynamicUser=yes -p "User=$user" -p "StateDirectory=$user" \
    -p "RuntimeDirectory=$name/exec" -p "Environment=HOME=/var/lib/$user" -p "Environment=RELEASE_TMP=/run/$name/exec" "$@" \
    /bin/sh ${program:+"$program"}
}

# What is kept for a program that reads stdin itself: root alone can read it.
KEPT=/run/reconcile-exec

# keep_aside file|folder NAME: make one there, set kept to it, and see to it that it is gone in five minutes, also if nothing
# comes that uses it. Returns 1.
# shellcheck disable=SC2329
keep_aside() {
  mkdir -p "$KEPT" && chmod 0700 "$KEPT" || return 1
  case $1 in
    file) kept=$(mktemp "$KEPT/$2XXXXXXXXXX") ;;
    folder) kept=$(mktemp -d "$KEPT/$2XXXXXXXXXX") ;;
  esac || return 1
  systemd-run --quiet --collect --on-active=300 --unit="reconcile-exec-end-${kept##*/}" /bin/rm -rf "${kept:?}" 2>/dev/null && return
  rm -rf "${kept:?}"
  return 1
}

# let_go: take away what was kept, and what would do so later.
# shellcheck disable=SC2329
let_go() {
  rm -rf "${kept:?}"
  systemctl stop "reconcile-exec-end-${kept##*/}.timer" 2>/dev/null || :
}
