# change app slot invocation: no route is involved
change() {
  begin_change "$1"
  invocation_is "$1" "$2" "$3"
  systemctl is-active --quiet "$1@$2.service" || fail $STALE "slot $2 is not running any more"
  accept "$1" "$2"
  systemctl enable --quiet "$1@$2.service" || fail 1 "cannot enable $1@$2.service"
  sync -f "$U"
  served "$1" "$2"
}
