# change app slot invocation; stdin: route. Kept and enabled for boot first, so that at every cut the routed slot is enabled.
change() {
  receive
  begin_change "$1"
  invocation_is "$1" "$2" "$3"
  systemctl is-active --quiet "$1@$2.service" || fail $STALE "slot $2 is not running any more"
  accept "$1" "$2"
  route "$1" "$2"
  served "$1" "$2"
  drop_epmd
}
