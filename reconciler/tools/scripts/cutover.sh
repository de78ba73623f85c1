# change app slot invocation; stdin: route. Enabled for boot first, so that at every cut the routed slot is enabled.
change() {
  begin_change "$1"
  invocation_is "$1" "$2" "$3"
  systemctl is-active --quiet "$1@$2.service" || fail $STALE "slot $2 is not running any more"
  route "$1" "$2"
  rm -f "$E/$1/$2.previous" "$S/$1/unit.previous"
}
