# look only(yes|no) word…: everything of these apps (app:slot,slot) and of the host, in parts.
# A part says how many bytes it has, so that no value can be taken for a part, and each of its lines is one record. What an
# app can make longer is bounded: its processes, their descriptors and environments cost the other apps nothing.
# A process more costs a host a millisecond or two, at each action: what the shell can do itself, it does.
#
# Words are split where they are not quoted: they are names of apps and slots, numbers, and words of systemd and /proc.
LONGEST_PART=262144 MOST_SLOTS=32 MOST_PROCESSES=64 SEARCH_SECONDS=1

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
  sed -n 's/^MemAvailable: *\([0-9]*\) kB/memory \1/p' /proc/meminfo
  { read -r cpus </sys/devices/system/cpu/online; } 2>/dev/null && echo "cpus $cpus"
  echo "home $HOME"
  [ -d "$ROUTES" ] || echo "noroutes there is no $ROUTES"
  [ ! -d "$ROUTES" ] || [ -w "$ROUTES" ] || echo "noroutes $(id -un) may not write to $ROUTES"
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

# look_marks APP: print which slots are enabled for boot, and which releases have migrated.
look_marks() {
  for slot in "$UNITS"/*.wants/"$1@"*.service; do
    slot=${slot##*/"$1@"} slot=${slot%.service}
    case $slot in '' | *[!0-9a-z]*) ;; *) echo "enabled $slot" ;; esac
  done
  for release in "$STATE/$1/migrated"/*; do
    release=${release##*/}
    case $release in '' | *[!0-9A-Za-z._+~-]*) ;; *) echo "migrated $release" ;; esac
  done
}

# look_texts APP: print its state, and the comments at the head of what is written for other programs.
look_texts() {
  app=$1
  set --
  for file in inventory quarantine owner commit suspended; do set -- "$@" "$STATE/$app/$file"; done
  for slot in $slots; do set -- "$@" "$TRIAL_ENV/$app/$slot.env" "$ENV/$app/$slot.env"; done
  set -- "$@" "$UNITS/$app@.service" "$ROUTES/$app.yml"
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
      if (FILENAME == trial name) kind = "trial " slot
      if (FILENAME == env name) kind = "env " slot
      if (FILENAME == unit) kind = "unit"
      if (FILENAME == route) kind = "route"
      if (FILENAME == hand) kind = "hand"
    }
    length($0) > 8192 || FNR > 1000 {print "long", name; nextfile}
    {gsub(/[\001-\037\177]/, "?")}
    kind == "" {print name, $0; next}
    !/^#/ {nextfile}
    {print kind, $0}
    kind ~ /^(trial|served)/ {nextfile}' "$@"
}

# look_traefik: print what Traefik serves from, that it has a certificate to show, and that a unit set up by hand is
# enabled.
look_traefik() {
  find "$ROUTES" -mindepth 1 -maxdepth 1 '(' -name '*.yml' -o -name '*.yaml' -o -name '*.toml' ')' \
    '(' -name '*[!0-9A-Za-z@._+~-]*' -printf 'watched -\n' -o -printf 'watched %f\n' ')' 2>/dev/null
  [ ! -s "$ENV/traefik/.certificate" ] || echo certificate kept
  for link in "$UNITS"/*.wants/traefik.service; do [ ! -L "$link" ] || echo 'hand enabled'; done
}

# tree_digest FOLDER: print what changes with every change of a name, size, time, mode or link below it. The folder's own
# time says when it served last. Returns 1.
tree_digest() {
  (cd "$1" && sum=$(find . -mindepth 1 -printf '%y %m %s %T@ %p\t%l\n' | sort | sha256sum) && echo "${sum%% *}")
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

# look_units: read what systemctl shows, each unit ended by an empty line, and print what each does, in ten words, and
# its processes, in three.
look_units() {
  while IFS='=' read -r key value; do
    case $key in
      Id) id=$value ;;
      ActiveState) state=$value ;;
      Job) job=$value ;;
      MainPID) pid=$value ;;
      NRestarts) restarts=$value ;;
      InvocationID) invocation=$value ;;
      ControlGroup) group=$value ;;
      ExecMainStatus) status=$value ;;
      Result) result=$value ;;
      ActiveEnterTimestamp) since=$value ;;
      '')
        # shellcheck disable=SC2086 # the words of a time
        [ -z "$id" ] || look_unit $since
        id='' state='' job='' pid='' restarts='' invocation='' group='' status='' result='' since=''
        ;;
    esac
  done
}

# look_unit WORD…: print the unit that look_units has read. The words are those of a time: they become one.
look_unit() {
  IFS=_
  since=$*
  unset IFS
  echo "unit $id ${state:--} ${job:--} ${pid:--} ${restarts:--} ${invocation:--} ${status:--} ${result:--} ${since:--}"
  [ "${pid:-0}" -gt 0 ] || return 0
  echo "process $id $pid"
  seen=1
  for file in "/sys/fs/cgroup$group/cgroup.procs" "/sys/fs/cgroup/systemd$group/cgroup.procs"; do
    [ -r "$file" ] || continue
    while read -r member; do
      [ "$seen" -lt "$MOST_PROCESSES" ] || break
      [ "$member" = "$pid" ] || {
        echo "process $id $member"
        seen=$((seen + 1))
      }
    done <"$file"
    break
  done 2>/dev/null # a process, or all of them, may be gone by now
}

# look_ports PORT…: print "listen PORT INODE USER KIND" and "open PORT COUNT". What Traefik sends to 127.0.0.1 reaches a
# socket of that address first (0), then one of all addresses (1), then one of all of IPv6 (2). A few of each kind are
# shown of each user, so that no user can hide the listener of another behind his own.
look_ports() {
  tables=/proc/net/tcp
  [ ! -r /proc/net/tcp6 ] || tables="$tables /proc/net/tcp6"
  # shellcheck disable=SC2086 # one or two files
  awk -v ports="$*" 'BEGIN {n=split(ports,list," "); for (i=1; i<=n; i++) ours[sprintf("%04X",list[i])]=list[i]}
    BEGIN {nothing="00000000000000000000000000000000"; mapped="0000000000000000FFFF0000"
      kinds["0100007F"]=kinds[mapped "0100007F"]=0; kinds["00000000"]=kinds[mapped "00000000"]=1; kinds[nothing]=2}
    {n=split($2,local,":"); port=local[n]; kind=local[1] in kinds ? kinds[local[1]] : 3}
    port in ours && $4=="0A" && heard[port,$8,kind]++ < 8 {print "listen", ours[port], $10, $8, kind}
    port in ours && $4=="01" {open[port]++}
    END {for (port in open) print "open", ours[port], open[port]}' $tables 2>/dev/null
}

# look_sockets WORD…: print who listens: "socket /proc/PID/fd socket:[INODE]". The words are those of look_ports, then of
# look_units, with - between.
look_sockets() {
  names='' ports='' mains='' others=''
  while [ "$1" != - ]; do
    case $1 in
      listen) names="$names -o -lname socket:[[]$3]" ports="$ports$2 $3 " && shift 5 ;;
      *) shift 3 ;;
    esac
  done
  [ -n "$names" ] || return 0
  shift
  while [ $# -gt 2 ]; do
    case $1 in
      unit) last='' && shift 10 ;;
      *)
        if [ "$2" = "$last" ]; then others="$others$2 $3 "; else mains="$mains /proc/$3/fd"; fi
        last=$2
        shift 3
        ;;
    esac
  done
  [ -z "$mains" ] || search_mains
}

# search_mains: print which main process has each socket of look_sockets, most often that. Where it is none of them,
# another process of its unit has it: a search that may take long.
search_mains() {
  # shellcheck disable=SC2086 # folders and words of find
  held=$(timeout -k 1 5 find $mains '(' -false $names ')' -printf 'socket %h %l\n' 2>/dev/null | awk '!seen[$0]++')
  [ -z "$held" ] || printf '%s\n' "$held"
  # shellcheck disable=SC2086 # two words for each port
  set -- $ports
  while [ $# -gt 1 ]; do
    # shellcheck disable=SC2086 # two words for each process
    case $held in *"socket:[$2]"*) ;; *) search_socket "$1" "$2" $others & ;; esac
    shift 2
  done
  wait
}

# search_socket PORT INODE WORD…: print which of these processes has the socket. Two words, unit and PID, for each that
# is not the first of its unit.
search_socket() {
  port=$1 inode=$2 folders=''
  shift 2
  while [ $# -gt 1 ]; do
    case $1 in *"@$port.service") folders="$folders /proc/$2/fd" ;; esac
    shift 2
  done
  # shellcheck disable=SC2086 # several folders
  [ -z "$folders" ] ||
    timeout -k 1 "$SEARCH_SECONDS" find $folders -lname "socket:[[]$inode]" -printf 'socket %h %l\n' -quit 2>/dev/null
}

# look_users SOCKETS WORD…: print "user NUMBER FOLDER" of each app of ours, which tells whose a socket is that is not
# among SOCKETS, if there is one. The words are those of look_ports.
look_users() {
  sockets=$1 unknown=no
  shift
  while [ $# -gt 2 ]; do
    case $1 in
      listen)
        case $sockets in *"socket:[$3]"*) ;; *) unknown=yes ;; esac
        shift 5
        ;;
      *) shift 3 ;;
    esac
  done
  [ $unknown = yes ] || return 0
  set +f
  set --
  for folder in "$STATE"/*/; do
    app=${folder%/} app=${app##*/}
    ! is_app_name "$app" || [ ! -d "/var/lib/private/$app" ] || set -- "$@" "/var/lib/private/$app"
  done
  [ $# = 0 ] || stat -c 'user %u %n' "$@" 2>/dev/null
}

# look_processes WORD…: print what the first process of each unit was started with, and what memory all have. The words
# are those of look_units.
look_processes() {
  environs='' statuses='' last=''
  while [ $# -gt 2 ]; do
    case $1 in
      unit) last='' && shift 10 ;;
      *)
        [ "$2" = "$last" ] || environs="$environs /proc/$3/environ"
        last=$2 statuses="$statuses /proc/$3/status"
        shift 3
        ;;
    esac
  done
  [ -n "$environs" ] || return 0
  # shellcheck disable=SC2086 # several files
  grep -szaH -m 1 '^RECONCILE_INSTANCE=' $environs | tr '\n\0' ' \n' | cut -b 1-300
  # shellcheck disable=SC2086 # several files
  grep -sH '^VmRSS:' $statuses
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
  if [ "$app" = traefik ]; then
    units="$units traefik.service"
    set -- "$@" "$ROUTES/00-certificate.yml" "$UNITS/traefik.service"
  fi
  for file; do [ ! -f "$file" ] || files="$files $file"; done
}

# look_running: print what runs of units, and who listens on the ports in numbers. Nothing of it is a pattern of files.
# shellcheck disable=SC2086 # several units and ports, and words that these functions print
look_running() {
  show=$(systemctl show --no-pager -p Id,ActiveState,Job,MainPID,NRestarts,InvocationID,ControlGroup,ActiveEnterTimestamp,ExecMainStatus,Result $units)
  units=$(printf '%s\n\n' "$show" | look_units)
  part units - "$units"
  ports=$([ -z "$numbers" ] || look_ports $numbers)
  sockets=$(look_sockets $ports - $units)
  part processes - "$ports
$sockets
$(look_users "$sockets" $ports)
$(look_processes $units)"
}
