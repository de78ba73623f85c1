# change app release migrate-env seconds attempt; stdin: tar of env, unit. In the sandbox of that unit. systemd runs it, so that it
# ends and is remembered without us. The mark is set by root: it must not see the app's env, where LD_PRELOAD may stand. What is
# quoted for systemd reads the same in sh. The program comes by stdin, as in all that systemd-run is given here: after a
# daemon-reload systemd 252 reads `$$` and `;` in the words of a transient unit back as something else.
change() {
  app=$1 release=$2 seconds=$4 unit=$1-migrate.service mark=$STATE/$1/migrated/$2
  [ "$3" = - ] || mark=$mark@$3
  receive
  begin_change "$app"
  check_free "$app"
  [ ! -e "$mark" ] || return 0
  stage=$(unpack "$app") || fail "$NO_ROOM" "cannot write below $ENV"
  await_migration
  failed=no
  if [ ! -e "$mark" ]; then
    identity=$(sed -n '1s/^# reconcile //p' "$stage/env") && [ -n "$identity" ] || fail 1 "the env does not name its release"
    began=$(date +%s)
    if message=$(migrate 2>&1); then
      # systemd 252 forgets an ExecStartPost=+ at a daemon-reload meanwhile.
      [ -e "$mark" ] || touch "$mark" || fail "$NO_ROOM" "cannot write below $STATE"
    else
      failed=yes
      note_failure "$identity/$5" "${message:-no reason given}"
    fi
  fi
  rm -rf "${stage:?}" || fail "$NO_ROOM" "cannot write below $ENV"
  [ $failed = no ] || print_log "$unit" "$began" "" # last: it ends the script if nobody is there to read it
}

# await_migration: wait for one that is under way.
await_migration() {
  systemctl reset-failed "$unit" 2>/dev/null
  while systemctl is-active --quiet "$unit" || [ "$(systemctl show -P ActiveState "$unit")" = activating ]; do sleep 0.2; done
}

# migrate: run the migration and wait. Returns 1, and has said why.
migrate() {
  set --
  while IFS= read -r line; do [ -z "$line" ] || set -- "$@" -p "$line"; done <<LINES
$(migration_sandbox "$stage/unit")
LINES
  # shellcheck disable=SC2016 # the shell that systemd starts expands it
  program='set -a && . "$CREDENTIALS_DIRECTORY/env" && set +a && eval "exec $RECONCILE_MIGRATE" </dev/null'
  program=$(printf '%s\n' "$program" | base64 -w 0) || return 1
  run_as "$app" "$unit" migrate "$@" -p Type=oneshot -p "TimeoutStartSec=$seconds" \
    -p "WorkingDirectory=$RELEASES/$app/releases/$(newest_copy "$app" "$release")" -p "LoadCredential=env:$stage/env" \
    -p Environment=LANG=C.UTF-8 -p Environment=RELEASE_DISTRIBUTION=none -p UMask=0077 \
    -p "ExecStartPost=$WHATEVER_USER/bin/touch $mark" -p StandardInput=data -p "StandardInputData=$program" /bin/sh
}

# The steps of systemd before the program begins, as in decide/host_faults.py.
NEVER_BEGAN='[0-9]+/(USER|CGROUP|NETWORK|NAMESPACE|SECCOMP|CREDENTIALS|(RUNTIME|STATE|CACHE|LOGS)_DIRECTORY)'

# note_failure ATTEMPT MESSAGE: the release does not get any further: quarantine it. Fails if it was not the migration that
# failed.
note_failure() {
  step=$(journalctl --no-pager -o cat --since "@$began" -u "$unit" 2>/dev/null | grep -oE "status=$NEVER_BEGAN" | head -n 1)
  [ -z "$step" ] || {
    rm -rf "${stage:?}"
    fail 1 "systemd cannot start a migration on this host: $step"
  }
  case $2 in
    *"timeout was exceeded"*) why="its migration took longer than $seconds s" ;;
    *"control process"*) why='its migration failed' ;;
    *)
      rm -rf "${stage:?}"
      fail 1 "the migration of $release could not be started: $2"
      ;;
  esac
  { printf '%s\n' "$1" "$why" | quarantine "$app" && age_release "$app" "$release"; } ||
    fail "$NO_ROOM" "cannot write below $STATE"
}
