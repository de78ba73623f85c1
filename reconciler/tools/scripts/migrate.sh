# change app release seconds attempt; stdin: tar of env, unit. In the sandbox of that unit. systemd runs it, so that it ends and
# is remembered without us. The mark is set by root: it must not see the app's env, where LD_PRELOAD may stand. What is quoted
# for systemd reads the same in sh.
change() {
  app=$1 release=$2 unit=$1-migrate.service done=$STATE/$1/migrated/$2 seconds=$3
  receive
  begin_change "$app"
  free_to_take "$app"
  [ ! -e "$done" ] || return 0
  stage=$(staged "$app") || fail 28 "cannot write below $ENV"
  systemctl reset-failed "$unit" 2>/dev/null
  while systemctl is-active --quiet "$unit" || [ "$(systemctl show -P ActiveState "$unit")" = activating ]; do sleep 0.2; done
  [ ! -e "$done" ] || { rm -rf "$stage"; return 0; }
  identity=$(sed -n '1s/^# reconcile //p' "$stage/env")/$4
  set --
  while IFS= read -r line; do [ -z "$line" ] || set -- "$@" -p "$line"; done <<LINES
$(migration_sandbox "$stage/unit")
LINES
  begun=$(date +%s)
  said=$(run_as "$app" "$unit" migrate "$@" -p Type=oneshot -p "TimeoutStartSec=$seconds" \
    -p "WorkingDirectory=$RELEASES/$app/releases/$release" -p "LoadCredential=env:$stage/env" \
    -p Environment=LANG=C.UTF-8 -p Environment=RELEASE_DISTRIBUTION=none -p UMask=0077 -p "ExecStartPost=$WHATEVER_USER/bin/touch $done" \
    /bin/sh -c 'set -a && . "$$CREDENTIALS_DIRECTORY/env" && set +a && eval "exec $$RECONCILE_MIGRATE"' 2>&1) && why= || why=${said:-no reason given}
  rm -rf "$stage"
  case $why in
    '') [ -e "$done" ] || touch "$done"; return ;; # systemd 252 forgets an ExecStartPost=+ at a daemon-reload meanwhile
    *"timeout was exceeded"*) why="its migration took longer than $seconds s" ;;
    *"control process"*) why='its migration failed' ;;
    *) fail 1 "the migration of $release could not be started: $why" ;;
  esac
  log_tail "$unit" "$begun"
  printf '%s\n' "$identity" "$why" | quarantine "$app" || fail 28 "cannot write below $STATE"
  sink "$app" "$release"
}
