# What runs: what systemd says of units, who listens on a port, and what the processes were started with.
#
# Words are split where they are not quoted: they are names of units, numbers, and words of systemd and /proc.
MOST_PROCESSES=64 SEARCH_SECONDS=1

# look_units: read what systemctl shows, each unit ended by an empty line, and print what each does, in ten words, and
# its processes and what others made of its unit, in three.
look_units() {
  forget_unit
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
      LoadState) load=$value ;;
      FragmentPath) fragment=$value ;;
      DropInPaths) dropins=$value ;;
      '')
        # shellcheck disable=SC2086 # the words of a time, and paths
        [ -z "$id" ] || {
          look_unit $since
          look_overrides $dropins
        }
        forget_unit
        ;;
    esac
  done
}

# forget_unit: make the variables of look_units empty, as of a unit of which systemctl shows nothing.
forget_unit() {
  id='' state='' job='' pid='' restarts='' invocation='' group='' status='' result='' since=''
  load='' fragment='' dropins=''
}

# look_unit WORD…: print the unit that look_units has read. The words are those of a time: they become one. A program
# that has left its main process behind has children only.
look_unit() {
  IFS=_
  since=$*
  unset IFS
  echo "unit $id ${state:--} ${job:--} ${pid:--} ${restarts:--} ${invocation:--} ${status:--} ${result:--} ${since:--}"
  seen=0 kind=child
  if [ "${pid:-0}" -gt 0 ]; then
    echo "process $id $pid"
    seen=1 kind=process
  elif [ -z "$group" ] || [ "$state" = inactive ] || [ "$state" = failed ]; then
    return 0
  fi
  for file in "/sys/fs/cgroup$group/cgroup.procs" "/sys/fs/cgroup/systemd$group/cgroup.procs"; do
    [ -r "$file" ] || continue
    while read -r member; do
      [ "$seen" -lt "$MOST_PROCESSES" ] || break
      [ "$member" = "$pid" ] || {
        echo "$kind $id $member"
        seen=$((seen + 1))
      }
    done <"$file"
    break
  done 2>/dev/null # a process, or all of them, may be gone by now
}

# look_overrides PATH…: print which files others have put over the unit that look_units has read: drop-ins, a mask, or a
# unit file that systemd takes instead of ours. Those that the distribution brings are below /usr. Of a path with spaces,
# which systemd quotes, only the folder is told.
look_overrides() {
  case $id in *@*.service) ;; *) return 0 ;; esac
  case $load$fragment in
    masked*) print_override masked "$fragment" ;;
    *"/${id%%@*}@.service" | *"$TRIAL_UNITS/$id") ;;
    */*) print_override instead "$fragment" ;;
  esac
  for path; do
    case $path in
      /usr/* | /lib/*) ;;
      '"/'*)
        path=${path#?}
        print_override dropin "${path%/*}"
        ;;
      /*) print_override dropin "$path" ;;
    esac
  done
}

# print_override KIND PATH: print that this file is over the unit; a - for a path that is none or has unusual characters.
print_override() {
  case $2 in
    '' | [!/]* | *[!0-9A-Za-z@._+/:~-]*) echo "$1 $id -" ;;
    *) echo "$1 $id $2" ;;
  esac
}

# look_settings WORD…: print which settings the drop-ins among these have, without their values. The words are those of
# look_units.
look_settings() {
  paths=' '
  while [ $# -gt 2 ]; do
    case $1$paths in
      unit*) shift 7 ;;
      dropin*" $3 "*) ;;
      dropin*) [ ! -f "$3" ] || paths="$paths$3 " ;;
    esac
    shift 3
  done
  # shellcheck disable=SC2086 # several files
  [ "$paths" = ' ' ] || awk 'FNR > 1000 {nextfile}
    !more && match($0, /^[ \t]*[A-Za-z][0-9A-Za-z]*[ \t]*=/) {
      key = substr($0, 1, RLENGTH - 1)
      gsub(/[ \t]/, "", key)
      if (length(key) < 64) print "sets", FILENAME, key
    }
    {more = /\\$/}' $paths 2>/dev/null
}

# look_ports PORT…: print "listen PORT INODE USER KIND" and "open PORT COUNT". What Traefik sends to 127.0.0.1 reaches a
# socket of that address first (0), then one of all addresses (1), then one of all of IPv6 (2), never one of another
# loopback address (3), or of one that other machines may reach (4). A few of each kind are shown of each user, so that no user can hide the listener of another behind his own.
look_ports() {
  tables=/proc/net/tcp
  [ ! -r /proc/net/tcp6 ] || tables="$tables /proc/net/tcp6"
  # shellcheck disable=SC2086 # one or two files
  awk -v ports="$*" 'BEGIN {n=split(ports,list," "); for (i=1; i<=n; i++) ours[sprintf("%04X",list[i])]=list[i]}
    BEGIN {nothing="00000000000000000000000000000000"; mapped="0000000000000000FFFF0000"
      kinds["0100007F"]=kinds[mapped "0100007F"]=0; kinds["00000000"]=kinds[mapped "00000000"]=1; kinds[nothing]=2}
    BEGIN {kinds["00000000000000000000000001000000"]=3}
    {n=split($2,local,":"); port=local[n]; kind=local[1] in kinds ? kinds[local[1]] : local[1] ~ /^(0000000000000000FFFF0000)?......7F$/ ? 3 : 4}
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
      dropin | masked | instead) shift 3 ;;
      *)
        if [ "$2" = "$last" ]; then others="$others$2 $3 "; else mains="$mains /proc/$3/fd"; fi
        last=$2
        shift 3
        ;;
    esac
  done
  [ -z "$mains" ] || search_mains
}

# search_mains: print which main process has each socket of look_sockets, most often that, and which of them keeps a file of
# its state folder open for writing. Where a socket is of none of them, another process of its unit has it: a search that
# may take long.
search_mains() {
  # shellcheck disable=SC2086 # folders and words of find
  held=$(timeout -k 1 5 find $mains '(' -false $names ')' -printf 'socket %h %l\n' -o \
    -perm -200 -lname '/var/lib/private/*' -printf 'keeps %h\n' 2>/dev/null | awk '!seen[$0]++')
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

# look_processes WORD…: print what the first process of each unit was started with, in which release it is if that is not
# its slot's, and what memory all have. The words are those of look_units.
look_processes() {
  environs='' statuses='' last=''
  set +f
  while [ $# -gt 2 ]; do
    case $1 in
      unit) last='' && shift 10 ;;
      dropin | masked | instead) shift 3 ;;
      *)
        [ "$2" = "$last" ] || {
          environs="$environs /proc/$3/environ"
          look_folder "$2" "$3"
        }
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

# look_folder UNIT PID: print the release in which the process of an app is, if it is in another than its slot links to.
# What it has there for a name is not asked: only whether it is the very same folder.
# shellcheck disable=SC3013 # every shell of a system with systemd knows -ef
look_folder() {
  case $1 in *@*.service) ;; *) return 0 ;; esac
  app=${1%%@*} slot=${1#*@}
  [ -d "$RELEASES/$app/releases" ] && ! [ "/proc/$2/cwd" -ef "$RELEASES/$app/slots/${slot%.service}" ] || return 0
  for folder in "$RELEASES/$app/releases"/*; do
    case ${folder##*/} in *[!0-9A-Za-z._+~-]*) continue ;; esac
    [ ! "/proc/$2/cwd" -ef "$folder" ] || echo "folder $2 ${folder##*/}"
  done
}

# look_running: print what runs of units, and who listens on the ports in numbers. Nothing of it is a pattern of files.
# shellcheck disable=SC2086 # several units and ports, and words that these functions print
look_running() {
  show=$(systemctl show --no-pager -p Id,ActiveState,Job,MainPID,NRestarts,InvocationID,ControlGroup,ActiveEnterTimestamp,ExecMainStatus,Result,LoadState,FragmentPath,DropInPaths $units)
  units=$(printf '%s\n\n' "$show" | look_units)
  part units - "$units"
  ports=$([ -z "$numbers" ] || look_ports $numbers)
  sockets=$(look_sockets $ports - $units)
  part processes - "$ports
$sockets
$(look_users "$sockets" $ports)
$(case $units in *dropin*) look_settings $units ;; esac)
$(look_processes $units)"
}
