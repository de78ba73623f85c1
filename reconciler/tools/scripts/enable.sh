# change app slot invocation take-over: no route is involved
change() {
  begin_change "$1"
  check_invocation "$1" "$2" "$3"
  check_active "$1" "$2"
  check_siblings "${1%%--*}"
  accept "$1" "$2"
  enable_slot "$1" "$2" || fail 1 "cannot enable $1@$2.service"
  [ "$4" = - ] || { systemctl disable --quiet "$4" && systemctl stop --no-block "$4"; } || fail 1 "cannot disable $4"
  { sync -f "$UNITS" && note_served "$1" "$2"; } || fail "$NO_ROOM" "cannot write below $UNITS and $RELEASES"
  drop_epmd
}

# check_siblings APP: fail with STALE unless each process of the app that is on trial runs: all of them are accepted, or none.
check_siblings() {
  for trial in "$TRIAL_ENV/$1--"*/worker.env; do
    [ -e "$trial" ] || continue
    sibling=${trial%/worker.env}
    check_active "${sibling##*/}" worker
  done
}
