# change app slot identity invocation; stdin: reason. What a stop-first start replaced comes back.
change() {
  app=$1 slot=$2 unit=$1@$2.service
  begin_change "$app"
  invocation_is "$app" "$slot" "$4"
  [ -e "$E/$app/$slot.previous" ] || [ "$(routed_slot "$app")" != "$slot" ] || fail $STALE "the route names slot $slot"
  quarantine "$app" "$3" || fail 28 "cannot write below $S"
  systemctl kill -s KILL "$unit" 2>/dev/null # it serves nobody: no need to wait for it
  if [ -e "$S/$app/unit.previous" ]; then
    publish "$app" "$S/$app/unit.previous" "$U/$app@.service" 0644
    systemctl daemon-reload
  fi
  if [ ! -e "$E/$app/$slot.previous" ]; then clear_slot "$app" "$slot"; return; fi
  systemctl stop "$unit"
  systemctl reset-failed "$unit" 2>/dev/null
  link_slot "$app" "$slot" "$(sed -n '1s|^# reconcile \([^/]*\)/.*|\1|p' "$E/$app/$slot.previous")"
  record "$app" "$E/$app/$slot.env" "$E/$app/$slot.previous"
  mv -T "$E/$app/$slot.previous" "$E/$app/$slot.env"
  systemctl start "$unit" || :
}
