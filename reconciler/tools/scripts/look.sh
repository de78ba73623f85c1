# look only(yes|no) word…: everything of these apps (app:slot,slot) and of the host, in parts.
# A part says how many bytes it has, so that no value can be taken for a part, and each of its lines is one record. What an
# app can make longer is bounded: its processes, their descriptors and environments cost the other apps nothing.
# A process more costs a host a millisecond or two, at each action: what the shell can do itself, it does.
LONGEST_PART=262144 MOST_SLOTS=32 MOST_PROCESSES=64 SEARCH_SECONDS=1

part() { # kind name text
  [ ${#3} -le $LONGEST_PART ] || set -- "$1" "$2" 'long part'
  printf '@@ %s %s %s\n%s\n' "$1" "$2" "${#3}" "$3"
}

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

find_slots() { # app slot,slot: sets slots to the wanted ones and those with a file or a link
  slots=' ' count=0 app=$1 IFS=,
  set -- $2
  unset IFS
  for each in "$@" "$RELEASES/$app/slots"/[0-9a-z]* "$ENV/$app"/[0-9a-z]* "$TRIAL_ENV/$app"/[0-9a-z]*; do
    each=${each##*/} each=${each%.[a-z]*}
    case $each in worker) ;; '' | *[!0-9]* | ??????*) continue ;; esac # also a pattern that nothing matched
    case $slots in *" $each "*) continue ;; esac
    [ $count -lt $MOST_SLOTS ] || { slots="$slots+"; break; }
    slots="$slots$each " count=$((count + 1))
  done
}

look_app() { # app; slots is set: what is on disk
  case $slots in *+) echo 'long slots' ;; *) echo "slots$slots" ;; esac
  found=$(look_folders "$1")
  [ -z "$found" ] || printf '%s\n' "$found"
  look_texts "$1"
  for each in "$UNITS"/*.wants/"$1@"*.service; do
    each=${each##*/"$1@"} each=${each%.service}
    case $each in '' | *[!0-9a-z]*) ;; *) echo "enabled $each" ;; esac
  done
  for each in "$STATE/$1/migrated"/*; do
    each=${each##*/}
    case $each in '' | *[!0-9A-Za-z._+~-]*) ;; *) echo "migrated $each" ;; esac
  done
  for each in $slots; do
    dump=/var/lib/$1/erl_crash.$each.dump # the app may make a link of it, or of any other name
    [ ! -f "$dump" ] || [ -L "$dump" ] || stat -c "dump %Y $each" "$dump"
  done
  [ ! -f "$ROUTES/$1.yml" ] || stat -c 'routed %Y' "$ROUTES/$1.yml"
  if [ "$TREES" = yes ]; then # a pass begins: an action asks for itself
    look_trees "$1" $found
    taken "$1"
    for each in $taken; do echo "taken $each"; done
  fi
  [ "$1" != traefik ] || look_traefik
}

look_folders() { # app: three words a line, so other names than ours are left out, and another link's end is a -
  find "$RELEASES/$1/slots" "$RELEASES/$1/releases" -mindepth 1 -maxdepth 1 ! -name '*[!0-9A-Za-z._+~-]*' '(' \
    -path "$RELEASES/$1/releases/*" -printf 'release %T@ %f\n' -o -name '.*' -o \
    -lname '../releases/*' ! -lname '../releases/*[!0-9A-Za-z._+~-]*' -printf 'link %f %l\n' -o -printf 'link %f -\n' ')' 2>/dev/null
}

look_texts() { # app: its state, and the comments that head what is written for other programs
  app=$1
  set --
  for each in inventory quarantine owner commit suspended; do set -- "$@" "$STATE/$app/$each"; done
  for each in $slots; do set -- "$@" "$TRIAL_ENV/$app/$each.env" "$ENV/$app/$each.env"; done
  set -- "$@" "$UNITS/$app@.service" "$ROUTES/$app.yml"
  [ "$app" != traefik ] || set -- "$@" "$ROUTES"/*.yml "$UNITS/traefik.service"
  for each; do
    shift
    case ${each##*/} in *[!0-9A-Za-z@._-]*) continue ;; esac
    [ ! -f "$each" ] || [ ! -r "$each" ] || set -- "$@" "$each"
  done
  [ $# = 0 ] || awk -v state="$STATE/$app/" -v trial="$TRIAL_ENV/$app/" -v env="$ENV/$app/" -v unit="$UNITS/$app@.service" \
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

look_traefik() { # what Traefik serves from; whether it has a certificate to show; a unit of it that somebody set up by hand
  find "$ROUTES" -mindepth 1 -maxdepth 1 '(' -name '*.yml' -o -name '*.yaml' -o -name '*.toml' ')' \
    '(' -name '*[!0-9A-Za-z@._+~-]*' -printf 'watched -\n' -o -printf 'watched %f\n' ')' 2>/dev/null
  [ ! -s "$ENV/traefik/.certificate" ] || echo certificate kept
  for each in "$UNITS"/*.wants/traefik.service; do [ ! -L "$each" ] || echo 'hand enabled'; done
}

tree_digest() { # folder: changes with every change of a name, size, time, mode or link below it; its own time says when it served
  (cd "$1" && sum=$(find . -mindepth 1 -printf '%y %m %s %T@ %p\t%l\n' | sort | sha256sum) && echo "${sum%% *}")
}

look_trees() { # app, then three words for each folder and link: is each release that a slot links to still what was installed?
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

look_units() { # stdin: systemctl show, each unit ended by an empty line. What each does, in ten words, and its processes, in three
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
        [ -z "$id" ] || look_unit $since
        id='' state='' job='' pid='' restarts='' invocation='' group='' status='' result='' since=''
        ;;
    esac
  done
}

look_unit() { # words of a time: they become one
  IFS=_
  since=$*
  unset IFS
  echo "unit $id ${state:--} ${job:--} ${pid:--} ${restarts:--} ${invocation:--} ${status:--} ${result:--} ${since:--}"
  [ "${pid:-0}" -gt 0 ] || return 0
  echo "process $id $pid"
  seen=1
  for each in "/sys/fs/cgroup$group/cgroup.procs" "/sys/fs/cgroup/systemd$group/cgroup.procs"; do
    [ -r "$each" ] || continue
    while read -r member; do
      [ $seen -lt $MOST_PROCESSES ] || break
      [ "$member" = "$pid" ] || { echo "process $id $member"; seen=$((seen + 1)); }
    done <"$each"
    break
  done 2>/dev/null # a process, or all of them, may be gone by now
}

# What Traefik sends to 127.0.0.1 reaches a socket of that address first (0), then one of all addresses (1), then one of all
# of IPv6 (2). A few of each kind are shown of each user, so that nobody can hide the listener of another behind his own.
look_ports() { # port …: "listen PORT INODE USER KIND" and "open PORT COUNT"
  tables=/proc/net/tcp
  [ ! -r /proc/net/tcp6 ] || tables="$tables /proc/net/tcp6"
  awk -v ports="$*" 'BEGIN {n=split(ports,list," "); for (i=1; i<=n; i++) ours[sprintf("%04X",list[i])]=list[i]}
    BEGIN {nothing="00000000000000000000000000000000"; mapped="0000000000000000FFFF0000"
      kinds["0100007F"]=kinds[mapped "0100007F"]=0; kinds["00000000"]=kinds[mapped "00000000"]=1; kinds[nothing]=2}
    {n=split($2,local,":"); port=local[n]; kind=local[1] in kinds ? kinds[local[1]] : 3}
    port in ours && $4=="0A" && heard[port,$8,kind]++ < 8 {print "listen", ours[port], $10, $8, kind}
    port in ours && $4=="01" {open[port]++}
    END {for (port in open) print "open", ours[port], open[port]}' $tables 2>/dev/null
}

look_sockets() { # words of look_ports, then of look_units, with - between: who listens. "socket /proc/PID/fd socket:[INODE]"
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
        [ "$2" = "$last" ] && others="$others$2 $3 " || mains="$mains /proc/$3/fd"
        last=$2
        shift 3
        ;;
    esac
  done
  [ -n "$mains" ] || return 0
  held=$(timeout -k 1 5 find $mains '(' -false $names ')' -printf 'socket %h %l\n' 2>/dev/null | awk '!seen[$0]++')
  [ -z "$held" ] || printf '%s\n' "$held"
  set -- $ports
  while [ $# -gt 1 ]; do # most often the main process listens; else another of its unit does: a search that may take long
    case $held in *"socket:[$2]"*) ;; *) search_socket "$1" "$2" $others & ;; esac
    shift 2
  done
  wait
}

look_users() { # words of look_ports: "user NUMBER FOLDER" of each app of ours, by which the owner of a socket is known
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
  for each in "$STATE"/*/; do
    app=${each%/} app=${app##*/}
    ! named "$app" || [ ! -d "/var/lib/private/$app" ] || set -- "$@" "/var/lib/private/$app"
  done
  [ $# = 0 ] || stat -c 'user %u %n' "$@" 2>/dev/null
}

search_socket() { # port inode, then unit and pid of each process that is not the first of its unit
  port=$1 inode=$2 folders=''
  shift 2
  while [ $# -gt 1 ]; do
    case $1 in *"@$port.service") folders="$folders /proc/$2/fd" ;; esac
    shift 2
  done
  [ -z "$folders" ] ||
    timeout -k 1 $SEARCH_SECONDS find $folders -lname "socket:[[]$inode]" -printf 'socket %h %l\n' -quit 2>/dev/null
}

look_processes() { # words of look_units: what the first process of a unit was started with, and what memory all have
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
  grep -szaH -m 1 '^RECONCILE_INSTANCE=' $environs | tr '\n\0' ' \n' | cut -b 1-300
  grep -sH '^VmRSS:' $statuses
}

look() {
  part host - "$(look_host)"
  units='' files='' numbers=''
  for folder in "$STATE"/*/; do # apps that are ours and that nobody named
    app=${folder%/} app=${app##*/}
    case " $* " in *" $app:"*) ;; *) [ "$ONLY" = yes ] || ! named "$app" || set -- "$@" "$app:" ;; esac
  done
  [ ! -f "$UNITS/$EPMD" ] || files=$UNITS/$EPMD
  for word; do
    app=${word%%:*}
    find_slots "$app" "${word#*:}"
    part app "$app" "$(look_app "$app")"
    set -- "$UNITS/$app@.service" "$ROUTES/$app.yml" "$ROUTES/$app.htpasswd"
    for slot in ${slots%+}; do
      units="$units $app@$slot.service"
      case $slot in *[!0-9]*) ;; *) numbers="$numbers $slot" ;; esac
      set -- "$@" "$ENV/$app/$slot.env"
    done
    [ "$app" != traefik ] || { units="$units traefik.service"; set -- "$@" "$ROUTES/00-certificate.yml" "$UNITS/traefik.service"; }
    for file; do [ ! -f "$file" ] || files="$files $file"; done
  done
  part sums - "$([ -z "$files" ] || sha256sum $files)"
  case $units in *' traefik.service'*) ;; *) units="$units traefik*.service" ;; esac # only whether it is up
  set -f
  show=$(systemctl show --no-pager -p Id,ActiveState,Job,MainPID,NRestarts,InvocationID,ControlGroup,ActiveEnterTimestamp,ExecMainStatus,Result $units)
  units=$(printf '%s\n\n' "$show" | look_units)
  part units - "$units"
  ports=$([ -z "$numbers" ] || look_ports $numbers)
  sockets=$(look_sockets $ports - $units)
  part processes - "$ports
$sockets
$(look_users "$sockets" $ports)
$(look_processes $units)"
  set +f
  part end - ''
}
