# look only(yes|no) word…: everything of these apps (app:slot,slot) and of the host, in parts.
# A part says how many bytes it has, so that no value can be taken for a part, and each of its lines is one record. What an
# app can make longer is bounded: its processes, their descriptors and environments cost the other apps nothing.
# A process more costs a host a millisecond or two, at each action: what the shell can do itself, it does.
#
# Words are split where they are not quoted: they are names of apps and slots, of releases and of files.
LONGEST_PART=262144 MOST_SLOTS=32

# part KIND NAME TEXT: print a part.
part() {
  [ "${#3}" -le "$LONGEST_PART" ] || set -- "$1" "$2" 'long part'
  printf '@@ %s %s %s\n%s\n' "$1" "$2" "${#3}" "$3"
}

# look_host: print what the host is like.
look_host() {
  read_lease
  echo "lease $generation $token $left $holder"
  echo "now $(date +%s)"
  look_machine
  { read -r cpus </sys/devices/system/cpu/online; } 2>/dev/null && echo "cpus $cpus"
  { read -r machine </proc/sys/kernel/arch; } 2>/dev/null || machine=$(uname -m) # before Linux 6.1
  echo "machine $machine"
  stat -f -c "disk %a %b %S" "$RELEASES" 2>/dev/null
  echo "home $HOME"
  look_zone
  [ -d "$ROUTES" ] || echo "noroutes there is no $ROUTES"
  [ ! -d "$ROUTES" ] || [ -w "$ROUTES" ] || echo "noroutes $(id -un) may not write to $ROUTES"
}

# look_machine: print the memory, and where the file system of the releases is mounted if no program can be run from it.
# Below a mount point of several file systems the last one counts.
look_machine() (
  cd -P "$RELEASES" 2>/dev/null && folder=$PWD || folder=$RELEASES
  awk -v folder="$folder/" '$1 == "MemAvailable:" {print "memory", $2}
    FILENAME ~ /mountinfo$/ {
      point = $5 == "/" ? $5 : $5 "/"
      if (index(folder, point) == 1 && length(point) >= longest) {
        longest = length(point)
        noexec = $6 ~ /(^|,)noexec(,|$)/ ? $5 : ""
      }
    }
    END {if (noexec ~ /^[0-9A-Za-z_.+@\/-]+$/) print "noexec", noexec}' /proc/meminfo /proc/self/mountinfo
)

# look_zone: print the time zone of a host that has jobs, unless it is UTC.
# shellcheck disable=SC3013 # every shell of a system with systemd knows -ef
look_zone() {
  for folder in "$STATE"/*/jobs; do
    [ -d "$folder" ] && [ -e /etc/localtime ] || continue
    ! [ /etc/localtime -ef /usr/share/zoneinfo/Etc/UTC ] && zone=$(readlink /etc/localtime) && echo "zone ${zone##*zoneinfo/}"
    return 0
  done
}

# find_slots APP SLOT,SLOT: set slots to these and to those with a file or a link, with a + at the end if there are more.
find_slots() {
  slots=' ' count=0 app=$1 IFS=,
  # shellcheck disable=SC2086 # one word a slot
  set -- $2
  unset IFS
  for slot in "$@" "$RELEASES/$app/slots"/[0-9a-z]* "$ENV/$app"/[0-9a-z]* "$TRIAL_ENV/$app"/[0-9a-z]*; do
    slot=${slot##*/} slot=${slot%.[a-z]*}
    case $slot in worker) ;; '' | *[!0-9]* | ??????*) continue ;; esac # also a pattern that nothing matched
    case $slots in *" $slot "*) continue ;; esac
    if [ "$count" -ge "$MOST_SLOTS" ]; then
      slots="$slots+"
      break
    fi
    slots="$slots$slot " count=$((count + 1))
  done
}

# look_app APP: print what is on disk of the app, after find_slots.
look_app() {
  case $slots in *+) echo 'long slots' ;; *) echo "slots$slots" ;; esac
  folders=$(look_folders "$1")
  [ -z "$folders" ] || printf '%s\n' "$folders"
  look_texts "$1"
  look_marks "$1"
  [ ! -d "$STATE/$1/jobs" ] || look_jobs "$1"
  for slot in $slots; do
    dump=/var/lib/$1/erl_crash.$slot.dump # the app may make a link of it, or of any other name
    [ ! -f "$dump" ] || [ -L "$dump" ] || stat -c "dump %Y $slot" "$dump"
  done
  [ ! -f "$ROUTES/$1.yml" ] || stat -c 'routed %Y' "$ROUTES/$1.yml"
  if [ "$TREES" = yes ]; then # a pass begins: an action asks for itself
    # shellcheck disable=SC2086 # three words for each folder and link
    look_trees "$1" $folders
    find_taken "$1"
    for path in $taken; do echo "taken $path"; done
  fi
  [ "$1" != traefik ] || look_traefik
}

# look_folders APP: print its releases and the links of its slots. Three words a line, so names other than ours are left
# out, and where any other link leads to is a -.
look_folders() {
  find "$RELEASES/$1/slots" "$RELEASES/$1/releases" -mindepth 1 -maxdepth 1 ! -name '*[!0-9A-Za-z._+~-]*' '(' \
    -path "$RELEASES/$1/releases/*" -printf 'release %T@ %f\n' -o -name '.*' -o \
    -lname '../releases/*' ! -lname '../releases/*[!0-9A-Za-z._+~-]*' -printf 'link %f %l\n' -o -printf 'link %f -\n' ')' 2>/dev/null
}

# look_marks APP: print which slots are enabled for boot, which releases have migrated, and whether visitors can wait.
look_marks() {
  [ ! -e "$UNITS/reconcile-hold-$1.socket" ] || echo 'hold armed'
  [ ! -e "$TRIAL_ENV/$1/hold" ] || ! IFS= read -r hold <"$TRIAL_ENV/$1/hold" || [ "$hold" != no ] || echo 'hold refused'
  for slot in "$UNITS"/*.wants/"$1@"*.service; do
    slot=${slot##*/"$1@"} slot=${slot%.service}
    case $slot in '' | *[!0-9a-z]*) ;; *) echo "enabled $slot" ;; esac
  done
  for mark in "$STATE/$1/migrated"/*; do
    mark=${mark##*/}
    case $mark in '' | *[!0-9A-Za-z._+~@-]*) ;; *) echo "migrated $mark" ;; esac
  done
}

# look_jobs APP: print which timers of its jobs are enabled for boot, and whether their units were written in part.
look_jobs() {
  for timer in "$UNITS"/*.wants/"$1--"*.timer; do
    timer=${timer##*/"$1--"} timer=${timer%.timer}
    case $timer in '' | *[!0-9a-z_-]*) ;; *) echo "timer $timer" ;; esac
  done
  [ ! -e "$STATE/$1/jobs/unfinished" ] || echo 'jobs unfinished'
}

# look_texts APP: print its state, and the comments at the head of what is written for other programs.
look_texts() {
  app=$1
  set --
  for file in inventory quarantine owner commit suspended hook; do set -- "$@" "$STATE/$app/$file"; done
  for slot in $slots; do set -- "$@" "$TRIAL_ENV/$app/$slot.env" "$TRIAL_ENV/$app/$slot.started" "$ENV/$app/$slot.env"; done
  set -- "$@" "$UNITS/$app@.service" "$ROUTES/$app.yml"
  [ ! -d "$STATE/$app/jobs" ] ||
    set -- "$@" "$STATE/$app/jobs"/*.last "$STATE/$app/jobs"/*.suspended "$TRIAL_ENV/$app"/*.job
  [ "$app" != traefik ] || set -- "$@" "$ROUTES"/*.yml "$UNITS/traefik.service"
  for file; do
    shift
    case ${file##*/} in *[!0-9A-Za-z@._-]*) continue ;; esac
    [ ! -f "$file" ] || [ ! -r "$file" ] || set -- "$@" "$file"
  done
  [ $# = 0 ] || print_heads "$@"
}

# print_heads FILE…: print each line of the app's state, and of other files the comments that they begin with.
print_heads() {
  awk -v state="$STATE/$app/" -v trial="$TRIAL_ENV/$app/" -v env="$ENV/$app/" -v unit="$UNITS/$app@.service" \
    -v route="$ROUTES/$app.yml" -v hand="$UNITS/traefik.service" '
    FNR == 1 {
      name = slot = FILENAME
      sub(".*/", "", name)
      sub(".*/", "", slot)
      sub("[.].*", "", slot)
      kind = "served " name
      if (FILENAME == state name) kind = ""
      if (FILENAME == state "jobs/" name) kind = (name ~ /[.]last$/ ? "ran " : "paused ") slot
      if (FILENAME == trial name) kind = (name ~ /[.]started$/ ? "started " : "trial ") slot
      if (FILENAME == trial name && name ~ /[.]job$/) kind = "runs " slot
      if (FILENAME == env name) kind = "env " slot
      if (FILENAME == unit) kind = "unit"
      if (FILENAME == route) kind = "route"
      if (FILENAME == hand) kind = "hand"
    }
    length($0) > 8192 || FNR > 1000 {print "long", name; nextfile}
    {gsub(/[\001-\037\177]/, "?")}
    kind == "" {print name, $0; next}
    !/^#/ && kind !~ /^(started|ran|paused|runs) / {nextfile}
    {print kind, $0}
    kind ~ /^(trial|started|served|ran|paused|runs) / {nextfile}' "$@"
}

# look_traefik: print what Traefik serves from, that it has a certificate to show, and that a unit set up by hand is
# enabled.
look_traefik() {
  find "$ROUTES" -mindepth 1 -maxdepth 1 '(' -name '*.yml' -o -name '*.yaml' -o -name '*.toml' ')' \
    '(' -name '*[!0-9A-Za-z@._+~-]*' -printf 'watched -\n' -o -printf 'watched %f\n' ')' 2>/dev/null
  [ ! -s "$ENV/traefik/.certificate" ] || echo certificate kept
  for link in "$UNITS"/*.wants/traefik.service; do [ ! -L "$link" ] || echo 'hand enabled'; done
}

# tree_digest FOLDER: print what changes with every change of a name, size, time, mode or link below it, and with an owner
# that is not ours. The folder's own time says when it served last. Returns 1.
tree_digest() {
  (cd "$1" && sum=$(find . -mindepth 1 -printf '%y %m %s %T@ %p\t%l\n' ! -uid "$OWN_UID" -printf '%U %p\n' | sort | sha256sum) &&
    echo "${sum%% *}")
}

# look_trees APP WORD…: print which releases that a slot links to are not what was installed. Three words for each folder
# and link, as look_folders prints them.
look_trees() {
  app=$1 judged=' '
  shift
  while [ $# -gt 2 ]; do
    release=${3#../releases/}
    case $1$judged in
      release*) ;;
      *" $release "*) ;;
      *)
        judged="$judged$release "
        if [ -r "$STATE/$app/trees/$release" ]; then
          IFS= read -r installed <"$STATE/$app/trees/$release"
          [ "$(tree_digest "$RELEASES/$app/releases/$release" 2>/dev/null)" = "$installed" ] || echo "damaged $release"
        fi
        ;;
    esac
    shift 3
  done
}

# look WORD…: print all parts of these apps and, unless ONLY is yes, of every other app of ours.
look() {
  part host - "$(look_host)"
  units='' files='' numbers=''
  for folder in "$STATE"/*/; do
    app=${folder%/} app=${app##*/}
    case " $* " in *" $app:"*) ;; *) [ "$ONLY" = yes ] || ! is_app_name "$app" || set -- "$@" "$app:" ;; esac
  done
  [ ! -f "$UNITS/reconcile-epmd.service" ] || files=$UNITS/reconcile-epmd.service
  for word; do
    app=${word%%:*}
    find_slots "$app" "${word#*:}"
    part app "$app" "$(look_app "$app")"
    note_units_and_files
  done
  # shellcheck disable=SC2046 # names of apps
  [ "$TREES" = no ] || part rights - "$(find_rights $(for word; do echo "${word%%:*}"; done))"
  # shellcheck disable=SC2086 # several files
  part sums - "$([ -z "$files" ] || sha256sum $files)"
  case $units in *' traefik.service'*) ;; *) units="$units traefik*.service" ;; esac # only whether it is up
  set -f
  look_running
  set +f
  part end - ''
}

# note_units_and_files: add those of the app, after find_slots, to units, files and numbers, the slots that are ports.
note_units_and_files() {
  set -- "$UNITS/$app@.service" "$ROUTES/$app.yml" "$ROUTES/$app.htpasswd"
  for slot in ${slots%+}; do
    units="$units $app@$slot.service"
    case $slot in *[!0-9]*) ;; *) numbers="$numbers $slot" ;; esac
    set -- "$@" "$ENV/$app/$slot.env"
  done
  [ ! -d "$STATE/$app/jobs" ] || note_jobs
  if [ "$app" = traefik ]; then
    units="$units traefik.service"
    set -- "$@" "$ROUTES/00-certificate.yml" "$UNITS/traefik.service"
  fi
  for file; do [ ! -f "$file" ] || files="$files $file"; done
}

# note_jobs: add those of the jobs of the app to units and files.
note_jobs() {
  for path in "$TRIAL_ENV/$app"/*.job; do
    job=${path##*/} job=${job%.job}
    case $job in *[!0-9a-z_-]*) ;; *) units="$units $app--$job.service" ;; esac
  done
  [ -r "$STATE/$app/inventory" ] || return 0
  while read -r _ path; do
    case $path in *[!0-9A-Za-z_.+@/-]*) continue ;; "$UNITS/$app--"*) ;; *) continue ;; esac
    [ ! -f "$path" ] || files="$files $path"
    case $path in *@.service) ;; *) units="$units ${path##*/}" ;; esac
  done <"$STATE/$app/inventory"
}
