# change app slot invocation
change() {
  begin_change "$1"
  check_invocation "$1" "$2" "$3"
  ! is_routed "$1" "$2" || fail "$STALE" "the route names slot $2"
  clear_slot "$1" "$2"
}
