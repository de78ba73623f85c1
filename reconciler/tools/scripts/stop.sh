# change app slot invocation
change() {
  begin_change "$1"
  invocation_is "$1" "$2" "$3"
  [ "$(routed_slot "$1")" != "$2" ] || fail $STALE "the route names slot $2"
  clear_slot "$1" "$2"
}
