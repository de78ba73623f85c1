# change app: nothing of it runs or is routed any more: take away what the inventory says is ours
change() {
  app=$1
  begin_change "$app"
  drop_jobs "$app" ''
  end_runs "$app"
  running=$(systemctl list-units --plain --no-legend --state=active,activating,deactivating "$app@*") ||
    fail 1 "systemd does not tell what runs of $app"
  [ -z "$running" ] || fail "$STALE" "something of $app still runs"
  [ ! -e "$ROUTES/$app.yml" ] || fail "$STALE" "$app is still routed"
  if is_recorded "$app" "$UNITS/$app@.service"; then
    { rm -f "$UNITS/$app@.service" && systemctl daemon-reload; } || fail 1 "cannot take away $UNITS/$app@.service"
  fi
  if is_recorded "$app" "$ROUTES/00-certificate.yml"; then
    rm -f "$ROUTES/00-certificate.yml" || fail 1 "cannot take away $ROUTES/00-certificate.yml"
  fi
  drop_private "$app"
  drop_hold "$app"
  remove_folders "$app" || fail 1 "cannot take away the folders of $app"
  drop_epmd
}

# remove_folders APP: take away its releases, env files and state. The inventory goes last: with it a removal that failed
# goes on, and a power cut brings nothing back that no inventory names. Returns 1.
remove_folders() {
  rm -rf "${RELEASES:?}/${1:?}/slots" "${RELEASES:?}/${1:?}/releases" "${ENV:?}/${1:?}" "${TRIAL_ENV:?}/${1:?}" || return 1
  rmdir "$RELEASES/$1" 2>/dev/null # what else is in it is not ours
  sync "$RELEASES" "$UNITS" "$ENV" && { [ ! -d "$ROUTES" ] || sync "$ROUTES"; } || return 1
  rm -rf "${STATE:?}/${1:?}"
}
