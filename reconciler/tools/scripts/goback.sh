# change app slot invocation; stdin: tar of route, reason. That is the identity, then why. The version before takes over again; the other is remembered.
change() {
  receive
  begin_change "$1"
  invocation_is "$1" "$2" "$3"
  systemctl is-active --quiet "$1@$2.service" || fail $STALE "slot $2 is not running any more"
  stage=$(staged "$1") || fail 28 "cannot write below $ENV"
  quarantine "$1" <"$stage/reason" || fail 28 "cannot write below $STATE"
  route "$1" "$2" <"$stage/route"
  rm -rf "$stage"
}
