# app lines yes|no job|-: the journal of an app's slots, or of a job, and with yes what comes, until the reader is gone
app=$1 lines=$2 follow=$3
[ "$4" = - ] || app=$1--$4
names=$(journalctl -F SYSLOG_IDENTIFIER 2>/dev/null) || refuse "$(id -un) can read no journal here" \
  "as root on the host, once: mkdir -p /var/log/journal && systemctl restart systemd-journald"
set --
for name in $(printf '%s\n' "$names" | grep -x "$app@[a-z0-9]*"); do
  [ $# = 0 ] || set -- "$@" +
  set -- "$@" "SYSLOG_IDENTIFIER=$name" + "USER_UNIT=$name.service"
done
[ $# != 0 ] || {
  echo "-- No entries --"
  exit
}
[ "$follow" != yes ] || set -- --follow "$@"
journalctl --no-pager -o short-iso -n "$lines" "$@"
