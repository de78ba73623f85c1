# app lines yes|no: the journal of an app's slots, and with yes what comes, until the reader is gone
app=$1 lines=$2 follow=$([ "$3" = yes ] && echo --follow)
set --
for each in $(journalctl -F SYSLOG_IDENTIFIER | grep -x "$app@[a-z0-9]*"); do
  set -- "$@" ${1:++} "SYSLOG_IDENTIFIER=$each" + "USER_UNIT=$each.service"
done
[ $# = 0 ] || journalctl --no-pager -o short-iso -n "$lines" $follow "$@"
