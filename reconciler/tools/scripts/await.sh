# change app slot milliseconds restarts mode(port|steady) log(yes|no): wait until the port is open, or for mode steady all the
# seconds; less when it fails. The lease is renewed: waiting is part of a rollout.
change() {
  take_lease
  unit=$1@$2.service hex=$(printf '%04X' "$2" 2>/dev/null)
  stop=$(($(date +%s%3N) + $3))
  while :; do
    show=$(systemctl show -p ActiveState -p NRestarts "$unit" | sort | cut -d= -f2 | tr '\n' ' ') # else in its own order
    set -- "$1" "$2" "$3" "$4" "$5" "$6" $show
    [ "$7" != failed ] && [ "$7" != inactive ] && [ $(($8 - $4)) -lt 2 ] || { log=yes; break; }
    [ "$5" != port ] || ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
      grep -q "^ *[0-9]*: [0-9A-F]*:$hex [0-9A-F]*:0000 0A" || break
    [ "$(date +%s%3N)" -lt "$stop" ] || break
    sleep 0.05
  done
  [ "${log:-$6}" != yes ] || log_tail "$unit" "$(started_at "$1" "$2")"
}
