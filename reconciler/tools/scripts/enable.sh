# change app slot invocation take-over: no route is involved
change() {
  begin_change "$1"
  check_invocation "$1" "$2" "$3"
  check_active "$1" "$2"
  accept "$1" "$2"
  enable_slot "$1" "$2" || fail 1 "cannot enable $1@$2.service"
  [ "$4" = - ] || { systemctl disable --quiet "$4" && systemctl stop --no-block "$4"; } || fail 1 "cannot disable $4"
  { sync -f "$UNITS" && note_served "$1" "$2"; } || fail "$NO_ROOM" "cannot write below $UNITS and $RELEASES"
  drop_epmd
}
