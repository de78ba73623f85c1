# change app slot invocation; stdin: tar of route. Enabled for boot first, so that at every cut the routed slot is enabled.
change() {
  app=$1 slot=$2
  begin_change "$app"
  invocation_is "$app" "$slot" "$3"
  [ -d "$T" ] || fail 1 "there is no $T: Traefik's dynamic directory must exist"
  systemctl is-active --quiet "$app@$slot.service" || fail $STALE "slot $slot is not running any more"
  systemctl is-enabled --quiet "$app@$slot.service" 2>/dev/null || systemctl enable --quiet "$app@$slot.service"
  outside=$(dirname "$T")/.reconcile
  mkdir -p -m 0700 "$outside"
  # Another file system would turn the rename into a copy, and the watched folder would see it half-written.
  [ "$(stat -c %d "$outside")" = "$(stat -c %d "$T")" ] || outside=$T
  new=$outside/.$app.new
  tar -xOf - route >"$new" && chmod 0644 "$new" && sync -f "$new" || fail 28 "cannot write below $outside"
  record "$app" "$T/$app.yml" "$new" && mv -T "$new" "$T/$app.yml" || fail 28 "cannot write below $T and $S"
  sync -f "$T"
  rm -f "$E/$app/$slot.previous" "$S/$app/unit.previous"
}
