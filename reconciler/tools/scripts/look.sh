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

# note_app APP: add to records what is on disk of the app and can be told without a process, after find_slots: a line each,
# with its name in front.
note_app() {
  case $slots in *+) note_record 'long slots' ;; *) note_record "slots$slots" ;; esac
  note_marks "$1"
  [ ! -d "$STATE/$1/jobs" ] || note_timers "$1"
  [ "$TREES" = no ] || { # a pass begins: an action asks for itself
    find_taken "$1"
    for path in $taken; do note_record "taken $path"; done
  }
  [ "$1" != traefik ] || note_traefik
}

# note_record TEXT: add a record of the app to records.
note_record() {
  records="$records$app $1
"
}

# note_marks APP: add which slots are enabled for boot, which releases have migrated, and whether visitors can wait.
note_marks() {
  [ ! -e "$UNITS/reconcile-hold-$1.socket" ] || note_record 'hold armed'
  [ ! -e "$TRIAL_ENV/$1/hold" ] || ! IFS= read -r hold <"$TRIAL_ENV/$1/hold" || [ "$hold" != no ] || note_record 'hold refused'
  for slot in "$UNITS"/*.wants/"$1@"*.service; do
    slot=${slot##*/"$1@"} slot=${slot%.service}
    case $slot in '' | *[!0-9a-z]*) ;; *) note_record "enabled $slot" ;; esac
  done
  for mark in "$STATE/$1/migrated"/*; do
    mark=${mark##*/}
    case $mark in '' | *[!0-9A-Za-z._+~@-]*) ;; *) note_record "migrated $mark" ;; esac
  done
}

# note_timers APP: add which timers of its jobs are enabled for boot, and whether their units were written in part.
note_timers() {
  for timer in "$UNITS"/*.wants/"$1--"*.timer; do
    timer=${timer##*/"$1--"} timer=${timer%.timer}
    case $timer in '' | *[!0-9a-z_-]*) ;; *) note_record "timer $timer" ;; esac
  done
  [ ! -e "$STATE/$1/jobs/unfinished" ] || note_record 'jobs unfinished'
}

# note_traefik: add that Traefik has a certificate to show, and that a unit set up by hand is enabled.
note_traefik() {
  [ ! -s "$ENV/traefik/.certificate" ] || note_record 'certificate kept'
  for link in "$UNITS"/*.wants/traefik.service; do [ ! -L "$link" ] || note_record 'hand enabled'; done
}

# note_files APP: add to folders, ages and heads what is to be asked of the app by one program for all apps, after
# find_slots: the folders of its releases and slots, the files whose age counts, and those of which the head is read.
note_files() {
  folders="$folders $RELEASES/$1/slots $RELEASES/$1/releases"
  for slot in ${slots%+}; do
    dump=/var/lib/$1/erl_crash.$slot.dump # the app may make a link of it, or of any other name
    [ ! -f "$dump" ] || [ -L "$dump" ] || ages="$ages $dump"
  done
  [ ! -f "$ROUTES/$1.yml" ] || ages="$ages $ROUTES/$1.yml"
  set --
  for file in inventory quarantine owner commit suspended hook; do set -- "$@" "$STATE/$app/$file"; done
  for slot in ${slots%+}; do set -- "$@" "$TRIAL_ENV/$app/$slot.env" "$TRIAL_ENV/$app/$slot.started" "$ENV/$app/$slot.env"; done
  set -- "$@" "$UNITS/$app@.service" "$ROUTES/$app.yml"
  [ ! -d "$STATE/$app/jobs" ] ||
    set -- "$@" "$STATE/$app/jobs"/*.last "$STATE/$app/jobs"/*.suspended "$TRIAL_ENV/$app"/*.job
  [ "$app" != traefik ] || set -- "$@" "$ROUTES"/*.yml "$UNITS/traefik.service"
  for file; do
    case ${file##*/} in *[!0-9A-Za-z@._-]*) continue ;; esac
    [ ! -f "$file" ] || [ ! -r "$file" ] || heads="$heads< $app $file
"
  done
}

# look WORD…: print all parts of these apps and, unless ONLY is yes, of every other app of ours. Returns 1 if a program that
# it needs did not run: what is printed then has no end, and counts as nothing.
look() {
  part host - "$(look_host)"
  units='' files='' numbers='' records='' folders='' ages='' heads='' apps=''
  for folder in "$STATE"/*/; do
    app=${folder%/} app=${app##*/}
    case " $* " in *" $app:"*) ;; *) [ "$ONLY" = yes ] || ! is_app_name "$app" || set -- "$@" "$app:" ;; esac
  done
  [ ! -f "$UNITS/reconcile-epmd.service" ] || files=$UNITS/reconcile-epmd.service
  for word; do
    app=${word%%:*} apps="$apps ${word%%:*}"
    find_slots "$app" "${word#*:}"
    note_app "$app"
    note_files "$app"
    note_units_and_files
  done
  set -f
  # shellcheck disable=SC2086 # several folders
  found=$([ -z "$folders" ] || find_folders $folders)
  look_sums
  print_apps || return
  # shellcheck disable=SC2086 # several apps
  [ "$TREES" = no ] || part rights - "$(find_rights $apps)"
  part sums - "$sums"
  case $units in *' traefik.service'*) ;; *) units="$units traefik*.service" ;; esac # only whether it is up
  look_running || return
  set +f
  part end - ''
}

# note_units_and_files: add those of the app, after find_slots, to units, files and numbers, the slots that are ports.
note_units_and_files() {
  set -- "$UNITS/$app@.service" "$ROUTES/$app.yml" "$ROUTES/$app.htpasswd" "$ROUTES/$app.pem"
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
