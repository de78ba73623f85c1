# change app slot invocation; stdin: route. Kept and enabled for boot first, so that at every cut the routed slot is enabled.
# Visitors who wait for it get through.
change() {
  receive
  begin_change "$1"
  check_invocation "$1" "$2" "$3"
  check_active "$1" "$2"
  accept "$1" "$2"
  route "$1" "$2"
  open_gate "$1"
  note_served "$1" "$2" || fail "$NO_ROOM" "cannot write below $RELEASES"
  drop_epmd
}
