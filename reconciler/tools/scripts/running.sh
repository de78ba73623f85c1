# What runs: what systemd says of units, who listens on a port, and what the processes were started with.
#
# Words are split where they are not quoted: they are names of units, numbers, and words of systemd and /proc. A function that
# ends with exec is run in a subshell.
MOST_PROCESSES=64 SEARCH_SECONDS=1

# add_pattern UNIT: add to patterns one that this unit alone matches. Of patterns systemctl shows the units that systemd has loaded;
# to load one for its name, as that of an idle slot at each look, costs systemd more than all that a look does. A unit that is
# not loaded is inactive. It is named, and so loaded, if others have put a file over it.
add_pattern() {
  template=${1%%@*}@.service
  for folder in "$UNITS" "$TRIAL_UNITS" "$UNITS.control" "$TRIAL_UNITS.control"; do
    if [ -e "$folder/$1.d" ] || [ -e "$folder/$template.d" ] || { [ -e "$folder/$1" ] && [ "$1" != "${1#*@}" ]; }; then
      patterns="$patterns $1"
      return
    fi
  done
  name=${1%.*}
  case $name in *'*') patterns="$patterns $1" ;; *) patterns="$patterns ${name%?}[${name#"${name%?}"}].${1##*.}" ;; esac
}

# What look_units has of awk. Of processes: those of a unit, its first, then the others, up to a limit. A program that has left its
# main process behind has children only.
# shellcheck disable=SC2016 # these dollars are awk's, here and below
AWK_PROCESSES='
function print_process(kind, pid) {
  print kind, of["Id"], pid
  pids[++processes] = pid
}
function print_processes(pid) {
  if (pid > 0) print_process("process", pid)
  else if (of["ActiveState"] ~ /^(inactive|failed)$/) return
  if (of["ControlGroup"] == "") return
  if (!print_members("/sys/fs/cgroup", pid)) print_members("/sys/fs/cgroup/systemd", pid)
}
function print_members(root, pid, file, member, seen, got) {
  file = root of["ControlGroup"] "/cgroup.procs"
  seen = pid > 0
  while (seen < most && (got = (getline member < file)) > 0) {
    if (member == pid) continue
    print_process(pid > 0 ? "process" : "child", member)
    seen++
  }
  close(file)
  return got >= 0
}
function print_memory(pid, file, line) {
  file = "/proc/" pid "/status"
  while ((getline line < file) > 0)
    if (line ~ /^VmRSS:/) {
      print file ":" line
      break
    }
  close(file)
}'

# And what others have put over a unit: drop-ins, a mask, or a unit file that systemd takes instead of ours. Those that the
# distribution brings are below /usr. Of a path with spaces, which systemd quotes, only the folder is told.
AWK_CHANGES='
function print_changes(id, template, file, n, paths, i) {
  template = id
  sub(/@.*/, "", template)
  file = of["FragmentPath"]
  if (of["LoadState"] ~ /^masked/) print_change("masked", file)
  else if (file ~ /\// && !ends(file, "/" template "@.service") && !ends(file, trials "/" id)) print_change("instead", file)
  n = split(of["DropInPaths"], paths, " ")
  for (i = 1; i <= n; i++) {
    if (sub(/^"\//, "/", paths[i])) sub("/[^/]*$", "", paths[i])
    else if (paths[i] !~ /^\// || paths[i] ~ /^\/(usr|lib)\//) continue
    print_change("dropin", paths[i])
  }
}
function print_change(kind, path) {
  print kind, of["Id"], path ~ /^\/[0-9A-Za-z@._+\/:~-]*$/ ? path : "-"
}
function ends(text, with) {
  return length(text) >= length(with) && substr(text, length(text) - length(with) + 1) == with
}'

# look_units: read what systemctl shows, each unit ended by an empty line, and print what each does, in ten words; its processes and
# what others made of it, in three; and then the memory of the processes, in three. A process may be gone by now.
look_units() {
  exec awk -v trials="$TRIAL_UNITS" -v most="$MOST_PROCESSES" -v wanted="$units" "$AWK_PROCESSES$AWK_CHANGES"'
    function word(key) {
      return of[key] == "" ? "-" : of[key]
    }
    function print_unit(since) {
      shown[of["Id"]] = 1
      since = of["ActiveEnterTimestamp"]
      gsub(/^ +| +$/, "", since)
      gsub(/ +/, "_", since)
      print "unit", of["Id"], word("ActiveState"), word("Job"), word("MainPID"), word("NRestarts"), word("InvocationID"), \
        word("ExecMainStatus"), word("Result"), since == "" ? "-" : since
      print_processes(of["MainPID"] + 0)
      if (of["Id"] ~ /@.*[.]service$/) print_changes(of["Id"])
    }
    {at = index($0, "=")}
    at {of[substr($0, 1, at - 1)] = substr($0, at + 1)}
    !at && of["Id"] != "" {print_unit()}
    !at {split("", of)}
    END {
      if (of["Id"] != "") print_unit()
      n = split(wanted, names, " ")
      for (i = 1; i <= n; i++)
        if (!(names[i] in shown) && names[i] !~ /[*]/) print "unit", names[i], "inactive - 0 0 - 0 success -"
      for (i = 1; i <= processes; i++) print_memory(pids[i])
    }'
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
# loopback address (3), or of one that other machines may reach (4, with the address as the table has it). A few of each kind are shown of each user, so that no user can hide the listener of another behind his own.
look_ports() {
  tables=/proc/net/tcp
  [ ! -r /proc/net/tcp6 ] || tables="$tables /proc/net/tcp6"
  # shellcheck disable=SC2086 # one or two files
  exec awk -v ports="$*" 'BEGIN {n=split(ports,list," "); for (i=1; i<=n; i++) ours[sprintf("%04X",list[i])]=list[i]}
    BEGIN {nothing="00000000000000000000000000000000"; mapped="0000000000000000FFFF0000"
      kinds["0100007F"]=kinds[mapped "0100007F"]=0; kinds["00000000"]=kinds[mapped "00000000"]=1; kinds[nothing]=2}
    BEGIN {kinds["00000000000000000000000001000000"]=3}
    {n=split($2,local,":"); port=local[n]; kind=local[1] in kinds ? kinds[local[1]] : local[1] ~ /^(0000000000000000FFFF0000)?......7F$/ ? 3 : 4}
    port in ours && $4=="0A" && heard[port,$8,kind]++ < 8 {print "listen", ours[port], $10, $8, kind (kind == 4 ? "-" local[1] : "")}
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
      dropin | masked | instead | */proc/*) shift 3 ;;
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

# is_known SOCKETS WORD…: true if all sockets are among SOCKETS. The words are those of look_ports.
is_known() {
  sockets=$1
  shift
  while [ $# -gt 2 ]; do
    case $1 in
      listen)
        case $sockets in *"socket:[$3]"*) ;; *) return 1 ;; esac
        shift 5
        ;;
      *) shift 3 ;;
    esac
  done
}

# look_users: print "user NUMBER FOLDER" of each app of ours, which tells whose a socket is that no process of ours has.
look_users() {
  set +f
  set --
  for folder in "$STATE"/*/; do
    app=${folder%/} app=${app##*/}
    ! is_app_name "$app" || [ ! -d "/var/lib/private/$app" ] || set -- "$@" "/var/lib/private/$app"
  done
  [ $# = 0 ] || stat -c 'user %u %n' "$@" 2>/dev/null
}

# look_processes WORD…: print what the first process of each unit was started with, and in which release it is if that is not
# its slot's. The words are those of look_units.
look_processes() {
  environs='' last=''
  set +f
  while [ $# -gt 2 ]; do
    case $1 in
      unit) last='' && shift 10 ;;
      dropin | masked | instead | */proc/*) shift 3 ;;
      *)
        [ "$2" = "$last" ] || {
          environs="$environs /proc/$3/environ"
          look_folder "$2" "$3"
        }
        last=$2
        shift 3
        ;;
    esac
  done
  [ -n "$environs" ] || return 0
  # shellcheck disable=SC2086 # several files
  grep -szaH -m 1 '^RECONCILE_INSTANCE=' $environs | tr '\n\0' ' \n' | cut -b 1-300
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

# look_running: print what runs of units, and who listens on the ports in numbers. Nothing of it is a pattern of files. Returns 1
# if awk did not run.
# shellcheck disable=SC2086 # several units and ports, and words that these functions print
look_running() {
  patterns=''
  for unit in $units; do add_pattern "$unit"; done
  units=$(systemctl show --no-pager --all -p Id,ActiveState,Job,MainPID,NRestarts,InvocationID,ControlGroup,ActiveEnterTimestamp,ExecMainStatus,Result,LoadState,FragmentPath,DropInPaths $patterns |
    look_units) || return
  part units - "$units"
  ports='' sockets='' users='' settings=''
  [ -z "$numbers" ] || ports=$(look_ports $numbers) || return
  case $ports in *listen*) sockets=$(look_sockets $ports - $units) ;; esac
  is_known "$sockets" $ports || users=$(look_users)
  case $units in *dropin*) settings=$(look_settings $units) ;; esac
  part processes - "$ports
$sockets
$users
$settings
$(look_processes $units)"
}
