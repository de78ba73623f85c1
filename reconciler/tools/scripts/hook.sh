# change app hook(after_rollout|on_failure) release seconds; stdin: tar of env, unit. In the sandbox of that unit, see once.sh. At
# most once: what was begun and has no end was cut off.
change() {
  app=$1 hook=$2 release=$3 unit=$1-hook.service mark=$STATE/$1/hook
  receive
  begin_change "$app"
  check_free "$app"
  stage=$(unpack "$app") || fail "$NO_ROOM" "cannot write below $ENV"
  identity=$(sed -n '1s/^# reconcile //p' "$stage/env") && [ -n "$identity" ] || fail 1 "the env does not name its release"
  await_unit
  { read -r of marked state _ <"$mark"; } 2>/dev/null && [ "$of $marked" = "$hook $identity" ] ||
    fail "$STALE" "$hook of $release is not due here any more"
  failed=no
  case $state in
    due) run_hook "$4" ;;
    begun) note "$mark" "$hook $identity failed it was cut off, or nothing noticed its end" ;;
  esac
  rm -rf "${stage:?}" || fail "$NO_ROOM" "cannot write below $ENV"
  [ $failed = no ] || print_log "$unit" "$began" "" # last: it ends the script if nobody is there to read it
}

# run_hook SECONDS: run it, and note how it ended; systemd notes a success even without us.
run_hook() {
  check_release "$app" "$release"
  began=$(date +%s)
  note "$mark.done" "$hook $identity done"
  note "$mark" "$hook $identity begun"
  sync "$STATE/$app" || { # else a power cut could bring back the mark before
    note "$mark" "$hook $identity due"
    fail "$NO_ROOM" "cannot write below $STATE"
  }
  if message=$(run_once RECONCILE_HOOK hook "$1" -p "ExecStartPost=$WHATEVER_USER/bin/mv -T $mark.done $mark" 2>&1); then
    # systemd 252 forgets an ExecStartPost=+ at a daemon-reload meanwhile.
    [ ! -e "$mark.done" ] || mv -T "$mark.done" "$mark" || fail "$NO_ROOM" "cannot write below $STATE"
    return
  fi
  failed=yes
  step=$(step_that_failed "$began")
  why=$(why_it_failed "$1" "$message") || why="could not be started: $(printf '%s\n' "${message:-no reason given}" | one_line)"
  [ -z "$step" ] || why="could not be started: systemd failed at $step"
  note "$mark" "$hook $identity failed it $why"
}
