# change app slot invocation take-over: no route is involved
change() {
  begin_change "$1"
  invocation_is "$1" "$2" "$3"
  systemctl is-active --quiet "$1@$2.service" || fail $STALE "slot $2 is not running any more"
  accept "$1" "$2"
  enable_slot "$1" "$2" || fail 1 "cannot enable $1@$2.service"
  [ "$4" = - ] || { systemctl disable --quiet "$4"; systemctl stop --no-block "$4"; }
  sync -f "$UNITS"
  served "$1" "$2"
  drop_epmd
}
