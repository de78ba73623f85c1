# change app slot invocation hook(due|none|keep); stdin: tar of route, reason. That is the identity, then why. The version before takes over again; the other is remembered.
change() {
  receive
  begin_change "$1"
  check_invocation "$1" "$2" "$3"
  check_active "$1" "$2"
  stage=$(unpack "$1") || fail "$NO_ROOM" "cannot write below $ENV"
  quarantine "$1" "$4" <"$stage/reason" || fail "$NO_ROOM" "cannot write below $STATE"
  route "$1" "$2" <"$stage/route"
  rm -rf "${stage:?}" || fail "$NO_ROOM" "cannot write below $ENV"
}
