# change app: nothing of it runs or is routed any more: take away what the inventory says is ours
change() {
  app=$1
  begin_change "$app"
  [ -z "$(systemctl list-units --plain --no-legend --state=active,activating,deactivating "$app@*")" ] ||
    fail $STALE "something of $app still runs"
  [ ! -e "$T/$app.yml" ] || fail $STALE "$app is still routed"
  if grep -q "  $U/$app@.service\$" "$S/$app/inventory" 2>/dev/null; then rm -f "$U/$app@.service"; systemctl daemon-reload; fi
  if grep -q "  $T/00-certificate.yml\$" "$S/$app/inventory" 2>/dev/null; then rm -f "$T/00-certificate.yml"; fi
  drop_htpasswd "$app"
  rm -rf "$R/$app/slots" "$R/$app/releases" "$E/$app"
  rmdir "$R/$app" 2>/dev/null
  rm -rf "$S/$app" "$C/$app"
  drop_epmd
}
