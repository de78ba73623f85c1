# change app slot invocation: start what the slot's files say already
change() {
  begin_change "$1"
  invocation_is "$1" "$2" "$3"
  systemctl reset-failed "$1@$2.service" 2>/dev/null
  systemctl start "$1@$2.service" || log_tail "$1@$2.service" "$(started_at "$1" "$2")"
}
