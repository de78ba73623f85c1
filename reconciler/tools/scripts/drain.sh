# change app slot milliseconds: until no connection to the port is open, or the time is up. Nothing is changed.
change() {
  take_lease
  port=$(printf '%04X' "$2") deadline=$(($(uptime_milliseconds) + $3))
  while cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "^ *[0-9]*: [0-9A-F]*:$port [0-9A-F]*:[0-9A-F]* 01"; do
    [ "$(uptime_milliseconds)" -lt "$deadline" ] || break
    sleep 0.1
  done
}
