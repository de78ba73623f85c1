# change app slot invocation: start what the slot's files say already
change() {
  begin_change "$1"
  check_invocation "$1" "$2" "$3"
  start_slot start "$1" "$2" "$3"
}
