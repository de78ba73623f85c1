# look only(yes|no) word…: everything of these apps (app:slot,slot) and of the host, framed by @@begin and @@end.
# A process more costs a host a millisecond or two, at each action: what the shell can do itself, it does.
prefixed() { while IFS= read -r line; do printf '%s\n' "$1 $line"; done; }

look_files() { # app: what is on disk
  echo "@@app $1"
  find "$R/$1/slots" -mindepth 1 -maxdepth 1 -name '[0-9a-z]*' -printf 'link %f %l\n' 2>/dev/null
  find "$R/$1/releases" -mindepth 1 -maxdepth 1 -printf 'release %T@ %f\n' 2>/dev/null
  find "$U" -mindepth 2 -maxdepth 2 -path "*.wants/$1@*" -printf 'enabled %f\n' 2>/dev/null
  find "$S/$1/migrated" -mindepth 1 -printf 'migrated %f\n' 2>/dev/null
  for each in "$C/$1"/*.env; do
    [ ! -r "$each" ] || { IFS= read -r trial <"$each"; each=${each##*/}; echo "trial ${each%.env} $trial"; }
  done
  for each in inventory quarantine owner commit suspended; do
    [ ! -f "$S/$1/$each" ] || prefixed "$each" <"$S/$1/$each"
  done
  [ ! -f "$T/$1.yml" ] || stat -c 'routed %Y' "$T/$1.yml"
  if [ "$TREES" = yes ]; then # a pass begins: an action asks for itself
    look_trees "$1"
    taken "$1"
    for each in $taken; do echo "taken $each"; done
  fi
  [ "$1" != traefik ] || look_traefik
}

look_traefik() { # what Traefik serves from; whether it has a certificate to show; a unit of it that somebody set up by hand
  find "$T" -mindepth 1 -maxdepth 1 '(' -name '*.yml' -o -name '*.yaml' -o -name '*.toml' ')' -printf 'watched %f\n' 2>/dev/null
  [ ! -s "$E/traefik/.certificate" ] || echo certificate kept
  find "$U" -mindepth 2 -maxdepth 2 -path '*.wants/traefik.service' -printf 'enabled %f\n' 2>/dev/null
}

tree_digest() { # folder: changes with every change of a name, size, time, mode or link below it; its own time says when it served
  (cd "$1" && find . -mindepth 1 -printf '%y %m %s %T@ %p\t%l\n' | sort | sha256sum | cut -d' ' -f1)
}

look_trees() { # app: is each release that a slot links to still the tree that was installed?
  for each in $(find "$R/$1/slots" -type l -printf '%l\n' 2>/dev/null | sort -u); do
    release=${each##*/}
    [ ! -r "$S/$1/trees/$release" ] ||
      [ "$(tree_digest "$R/$1/releases/$release" 2>/dev/null)" = "$(cat "$S/$1/trees/$release")" ] || echo "damaged $release"
  done
}

look_slots() { # app slot,slot: the wanted ones and those with a file or a link
  app=$1 slots=' '
  IFS=,
  set -- $2
  for each in "$@" "$R/$app/slots"/[0-9a-z]* "$E/$app"/[0-9a-z]* "$C/$app"/[0-9a-z]*; do
    each=${each##*/} each=${each%.[a-z]*}
    case "$slots $each" in *" $each "* | *'['*) ;; *) slots="$slots$each " ;; esac # a pattern that nothing matched stays one
  done
  echo "$slots"
}

look_processes() { # systemctl show, each unit ended by an empty line: "unit pid" for each process of each unit
  while IFS='=' read -r key value; do
    case $key in
      Id) id=$value ;;
      MainPID) pid=$value ;;
      ControlGroup) group=$value ;;
      '') [ "${pid:-0}" -le 0 ] || look_members; pid=0 ;;
    esac
  done
}

look_members() {
  seen=" $pid "
  echo "$id $pid"
  for each in "/sys/fs/cgroup$group/cgroup.procs" "/sys/fs/cgroup/systemd$group/cgroup.procs"; do
    [ -r "$each" ] || continue
    while read -r member; do
      case $seen in *" $member "*) ;; *) seen="$seen$member "; echo "$id $member" ;; esac
    done <"$each"
  done 2>/dev/null # a process, or all of them, may be gone by now
}

look_ports() { # port …: "listen HEX INODE" and "open HEX COUNT"
  tables=/proc/net/tcp
  [ ! -r /proc/net/tcp6 ] || tables="$tables /proc/net/tcp6"
  awk -v ports="$*" 'BEGIN {n=split(ports,list," "); for (i=1; i<=n; i++) ours[sprintf("%04X",list[i])]=1}
    {n=split($2,local,":"); port=local[n]}
    port in ours && $4=="0A" {print "listen", port, $10} port in ours && $4=="01" {open[port]++}
    END {for (port in open) print "open", port, open[port]}' $tables 2>/dev/null
}

look() {
  echo '@@begin'
  read_lease
  echo "lease $generation $token $left $holder"
  echo "boot $this_boot"
  echo "now $(date +%s)"
  echo "machine $(uname -m)"
  echo "libc $(getconf GNU_LIBC_VERSION 2>/dev/null)"
  sed -n 's/^MemAvailable: *\([0-9]*\) kB/memory \1/p' /proc/meminfo
  echo "home $HOME"
  [ -d "$T" ] || echo "noroutes there is no $T"
  [ ! -d "$T" ] || [ -w "$T" ] || echo "noroutes $(id -un) may not write to $T"
  df -Pk "$R" 2>/dev/null | awk 'NR==2{print "free", $4}'
  units= files= numbers=
  for folder in "$S"/*/; do # apps that are ours and that nobody named
    app=${folder%/} app=${app##*/}
    case " $* " in *" $app:"*) ;; *) [ "$ONLY" = yes ] || ! named "$app" || set -- "$@" "$app:" ;; esac
  done
  [ ! -f "$U/$EPMD" ] || files=$U/$EPMD
  for word; do
    app=${word%%:*}
    look_files "$app"
    for slot in $(look_slots "$app" "${word#*:}"); do
      units="$units $app@$slot.service"
      dump=/var/lib/$app/erl_crash.$slot.dump # no other name: the app may write any into that folder
      [ ! -f "$dump" ] || stat -c "dump %Y $dump" "$dump"
      case $slot in *[!0-9]*) ;; *) numbers="$numbers $slot" ;; esac
    done
    set -- "$E/$app"/*.env "$U/$app@.service" "$T/$app.yml" "$T/$app.htpasswd"
    if [ "$app" = traefik ]; then
      units="$units traefik.service"
      set -- "$@" "$T"/*.yml "$U/traefik.service"
    fi
    for file; do
      [ -f "$file" ] && files="$files $file"
    done
  done
  echo '@@files'
  [ -z "$files" ] || sha256sum $files | prefixed sum
  [ -z "$files" ] || awk '!/^#/{nextfile} {print "head", FILENAME, $0}' $files
  echo '@@units'
  case $units in *' traefik.service'*) ;; *) units="$units traefik*.service" ;; esac # only whether it is up
  set -f
  show=$(systemctl show --no-pager -p Id,LoadState,ActiveState,SubState,Job,MainPID,NRestarts,InvocationID,ControlGroup,ActiveEnterTimestamp,ExecMainStatus,Result $units)
  set +f
  printf '%s\n' "$show"
  echo '@@processes'
  processes=$(printf '%s\n\n' "$show" | look_processes)
  [ -z "$processes" ] || printf '%s\n' "$processes"
  ports=$([ -z "$numbers" ] || look_ports $numbers)
  [ -z "$ports" ] || printf '%s\n' "$ports"
  if [ -n "$processes" ]; then
    names= folders= environs= statuses=
    set -- $ports # three words each
    while [ $# -gt 2 ]; do
      [ "$1" != listen ] || names="$names -o -lname socket:[[]$3]"
      shift 3
    done
    set -- $processes # two words each
    while [ $# -gt 1 ]; do
      folders="$folders /proc/$2/fd" environs="$environs /proc/$2/environ" statuses="$statuses /proc/$2/status"
      shift 2
    done
    set -f
    [ -z "$names" ] || find $folders "(" -false $names ")" -printf 'socket %h %l\n' 2>/dev/null
    set +f
    grep -szH '^RECONCILE_INSTANCE=' $environs | tr '\0' '\n' | prefixed environ
    grep -sH '^VmRSS:' $statuses | prefixed memory
  fi
  echo '@@end'
}
