# change app slot milliseconds: until no connection to the port is open, or the time is up. Nothing is changed.
change() {
  take_lease
  port=$(printf '%04X' "$2") deadline=$(($(date +%s%3N) + $3))
  while cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "^ *[0-9]*: [0-9A-F]*:$port [0-9A-F]*:[0-9A-F]* 01"; do
    [ "$(date +%s%3N)" -lt "$deadline" ] || break
    sleep 0.1
  done
}
