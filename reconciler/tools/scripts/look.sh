# look app:slot,slot …: everything of these apps and of the host, on stdout, framed by @@begin and @@end.
look_files() { # app: what is on disk
  echo "@@app $1"
  find "$R/$1/slots" -mindepth 1 -maxdepth 1 -name '[0-9a-z]*' -printf 'link %f %l\n' 2>/dev/null
  find "$R/$1/releases" -mindepth 1 -maxdepth 1 -printf 'release %T@ %f\n' 2>/dev/null
  find "$U" -mindepth 2 -maxdepth 2 -path "*.wants/$1@*" -printf 'enabled %f\n' 2>/dev/null
  find "$S/$1/migrated" -mindepth 1 -printf 'migrated %f\n' 2>/dev/null
  sed 's/^/inventory /' "$S/$1/inventory" 2>/dev/null
  sed 's/^/quarantine /' "$S/$1/quarantine" 2>/dev/null
  sed 's/^/owner /' "$S/$1/owner" 2>/dev/null
  sed 's/^/suspended /' "$S/$1/suspended" 2>/dev/null
  stat -c 'routed %Y' "$T/$1.yml" 2>/dev/null
  [ "$TREES" != yes ] || look_trees "$1"
}

tree_digest() { # folder: changes with every change of a name, size, time, mode or link below it
  (cd "$1" && find . -printf '%y %m %s %T@ %p\t%l\n' | sort | sha256sum | cut -d' ' -f1)
}

look_trees() { # app: is each release that a slot links to still the tree that was installed?
  for each in $(find "$R/$1/slots" -type l -printf '%l\n' 2>/dev/null | sort -u); do
    release=${each##*/}
    [ ! -r "$S/$1/trees/$release" ] ||
      [ "$(tree_digest "$R/$1/releases/$release" 2>/dev/null)" = "$(cat "$S/$1/trees/$release")" ] || echo "damaged $release"
  done
}

look_slots() { # app slot,slot: the wanted ones and those with a file or a link
  { echo "$2" | tr , '\n'; find "$R/$1/slots" "$E/$1" -mindepth 1 -maxdepth 1 -name '[0-9a-z]*' -printf '%f\n' 2>/dev/null; } |
    sed 's/\.[a-z]*$//' | sort -u
}

look_processes() { # reads `systemctl show`, prints "unit pid" for each process of each unit
  awk -F= '/^Id=/{id=$2} /^MainPID=/{pid=$2} /^ControlGroup=/{cg=$2} /^$/{if(pid>0)print id,pid,cg; pid=0} END{if(pid>0)print id,pid,cg}' |
    while read -r id pid cg; do
      for each in $pid $(cat "/sys/fs/cgroup$cg/cgroup.procs" "/sys/fs/cgroup/systemd$cg/cgroup.procs" 2>/dev/null); do
        echo "$id $each"
      done
    done | sort -u
}

look_ports() { # hex ports, separated by |: "listen PORT INODE" and "open PORT COUNT"
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v ports="^($1)\$" '{n=split($2,local,":"); port=local[n]}
    port ~ ports && $4=="0A" {print "listen", port, $10} port ~ ports && $4=="01" {open[port]++}
    END {for (port in open) print "open", port, open[port]}'
}

look() {
  echo '@@begin'
  read_lease
  echo "lease $generation $token $left $holder"
  echo "boot $(cat /proc/sys/kernel/random/boot_id)"
  echo "now $(date +%s)"
  echo "machine $(uname -m)"
  echo "libc $(getconf GNU_LIBC_VERSION 2>/dev/null)"
  sed -n 's/^MemAvailable: *\([0-9]*\) kB/memory \1/p' /proc/meminfo
  df -Pk "$R" 2>/dev/null | awk 'NR==2{print "free", $4}'
  units= files= hex=
  for folder in "$S"/*/; do # apps that are ours and that nobody named
    app=${folder%/} app=${app##*/}
    case " $* " in *" $app:"*) ;; *) [ "$app" = "*" ] || [ "$ONLY" = yes ] || set -- "$@" "$app:" ;; esac
  done
  for word; do
    app=${word%%:*}
    look_files "$app"
    for slot in $(look_slots "$app" "${word#*:}"); do
      units="$units $app@$slot.service"
      case $slot in *[!0-9]*) ;; *) hex="$hex|$(printf '%04X' "$slot")" ;; esac
    done
    for file in "$E/$app"/*.env "$E/$app"/*.previous "$U/$app@.service" "$T/$app.yml"; do
      [ -f "$file" ] && files="$files $file"
    done
  done
  echo '@@files'
  [ -z "$files" ] || sha256sum $files | sed 's/^/sum /'
  [ -z "$files" ] || awk '!/^#/{nextfile} {print "head", FILENAME, $0}' $files
  echo '@@units'
  show=$(systemctl show --no-pager -p Id,LoadState,ActiveState,SubState,MainPID,NRestarts,InvocationID,ControlGroup,ActiveEnterTimestamp,ExecMainStatus,Result $units)
  printf '%s\n' "$show"
  echo '@@processes'
  processes=$(printf '%s\n' "$show" | look_processes)
  [ -z "$processes" ] || printf '%s\n' "$processes"
  pids=$(printf '%s\n' "$processes" | cut -d' ' -f2)
  ports=$([ -z "$hex" ] || look_ports "${hex#|}")
  [ -z "$ports" ] || printf '%s\n' "$ports"
  if [ -n "$pids" ]; then
    names=$(printf '%s\n' "$ports" | sed -n 's/^listen [^ ]* \(.*\)/-o -lname socket:[[]\1]/p')
    folders= environs= statuses=
    for pid in $pids; do
      folders="$folders /proc/$pid/fd" environs="$environs /proc/$pid/environ" statuses="$statuses /proc/$pid/status"
    done
    set -f
    [ -z "$names" ] || find $folders "(" -false $names ")" -printf 'socket %h %l\n' 2>/dev/null
    set +f
    grep -szH '^RECONCILE_INSTANCE=' $environs | tr '\0' '\n' | sed 's/^/environ /'
    grep -sH '^VmRSS:' $statuses | sed 's/^/memory /'
  fi
  echo '@@end'
}
