# change app slot release invocation take-over; stdin: reason. The identity, then why. What it was started in the place of comes
# back.
change() {
  app=$1 slot=$2 unit=$1@$2.service
  receive
  begin_change "$app"
  invocation_is "$app" "$slot" "$4"
  on_trial=$(tried "$app" "$slot")
  [ -n "$on_trial" ] || [ "$(routed_slot "$app")" != "$slot" ] || fail $STALE "the route names slot $slot"
  quarantine "$app" || fail 28 "cannot write below $STATE"
  systemctl kill -s KILL "$unit" 2>/dev/null # it serves nobody: no need to wait for it
  if [ -z "$on_trial" ] || [ ! -e "$ENV/$app/$slot.env" ]; then
    clear_slot "$app" "$slot"
    sink "$app" "$3"
    drop_epmd
    [ "$5" = - ] || { rm -f "$ROUTES/00-certificate.yml"; systemctl start "$5" || :; } # its own certificate counts again
    return
  fi
  systemctl stop "$unit"
  end_trial "$app" "$slot"
  sink "$app" "$3"
  systemctl reset-failed "$unit" 2>/dev/null
  systemctl start "$unit" || :
  drop_epmd
}
