# change app: nothing of it runs or is routed any more: take away what the inventory says is ours
change() {
  app=$1
  begin_change "$app"
  [ -z "$(systemctl list-units --plain --no-legend --state=active,activating,deactivating "$app@*")" ] ||
    fail $STALE "something of $app still runs"
  [ ! -e "$ROUTES/$app.yml" ] || fail $STALE "$app is still routed"
  if grep -q "  $UNITS/$app@.service\$" "$STATE/$app/inventory" 2>/dev/null; then rm -f "$UNITS/$app@.service"; systemctl daemon-reload; fi
  if grep -q "  $ROUTES/00-certificate.yml\$" "$STATE/$app/inventory" 2>/dev/null; then rm -f "$ROUTES/00-certificate.yml"; fi
  drop_htpasswd "$app"
  rm -rf "$RELEASES/$app/slots" "$RELEASES/$app/releases" "$ENV/$app"
  rmdir "$RELEASES/$app" 2>/dev/null
  rm -rf "$STATE/$app" "$TRIAL_ENV/$app"
  drop_epmd
}
