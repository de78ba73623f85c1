# change app slot release invocation take-over hook(due|none|keep); stdin: reason. The identity, then why. What it was started in the place of comes
# back.
change() {
  app=$1 slot=$2 unit=$1@$2.service
  receive
  begin_change "$app"
  check_invocation "$app" "$slot" "$4"
  on_trial=$(release_on_trial "$app" "$slot") || fail 1 "cannot read below $TRIAL_ENV"
  [ -n "$on_trial" ] || ! is_routed "$app" "$slot" || fail "$STALE" "the route names slot $slot"
  quarantine "$app" "$6" || fail "$NO_ROOM" "cannot write below $STATE"
  systemctl kill -s KILL "$unit" 2>/dev/null # no visitor is served by it: no need to wait
  if [ -z "$on_trial" ] || [ ! -e "$ENV/$app/$slot.env" ]; then
    clear_slot "$app" "$slot"
    bring_back "$5"
  else
    systemctl stop "$unit" || fail 1 "cannot stop slot $slot"
    end_trial "$app" "$slot"
    start_slot start "$app" "$slot" "$4"
  fi
  age_release "$app" "$3" || fail "$NO_ROOM" "cannot write below $RELEASES"
  drop_epmd
}

# bring_back UNIT: start the unit that the slot took over from, unless it is -. Its own certificate counts again.
bring_back() {
  [ "$1" != - ] || return 0
  rm -f "$ROUTES/00-certificate.yml" || fail "$NO_ROOM" "cannot write below $ROUTES"
  systemctl start "$1" || fail 1 "cannot start $1"
}
