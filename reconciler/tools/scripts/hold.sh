# change app slot invocation; stdin: route. It names the address at which visitors wait; where there can be none, it is not written.
change() {
  receive
  begin_change "$1"
  check_invocation "$1" "$2" "$3"
  check_active "$1" "$2"
  is_routed "$1" "$2" || fail "$STALE" "the route does not name slot $2"
  for held in "$UNITS/reconcile-hold-$1.socket" "$UNITS/reconcile-hold-$1.service"; do
    [ ! -e "$held" ] || is_recorded "$1" "$held" || fail 1 "$held was not written by reconcile"
  done
  if arm_hold "$1" "$2"; then
    route "$1" "$2"
    return
  fi
  drop_hold "$1"
  { mkdir -p "$TRIAL_ENV/$1" && chmod 0700 "$TRIAL_ENV" "$TRIAL_ENV/$1" && echo no >"$TRIAL_ENV/$1/hold"; } ||
    fail "$NO_ROOM" "cannot write below $TRIAL_ENV"
}
