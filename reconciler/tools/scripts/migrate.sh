# change app release migrate-env seconds attempt seconds hook(due|none|keep); stdin: tar of env, unit. In the sandbox of that unit.
# The second limit is that of before_migrate, 0 without one. The mark is set by root: see once.sh.
change() {
  app=$1 release=$2 unit=$1-migrate.service mark=$STATE/$1/migrated/$2
  [ "$3" = - ] || mark=$mark@$3
  receive
  begin_change "$app"
  check_free "$app"
  [ ! -e "$mark" ] || return 0
  stage=$(unpack "$app") || fail "$NO_ROOM" "cannot write below $ENV"
  await_unit
  failed=no
  if [ ! -e "$mark" ]; then
    identity=$(sed -n '1s/^# reconcile //p' "$stage/env") && [ -n "$identity" ] || fail 1 "the env does not name its release"
    began=$(date +%s)
    if [ "$6" != 0 ] && ! message=$(run_once RECONCILE_BEFORE_MIGRATE migrate "$6" 2>&1); then
      failed=yes
      note_failure "$identity/$5" "$7" before_migrate "$6" "${message:-no reason given}"
    elif ! message=$(run_once RECONCILE_MIGRATE migrate "$4" -p "ExecStartPost=$WHATEVER_USER/bin/touch $mark" 2>&1); then
      failed=yes
      note_failure "$identity/$5" "$7" migration "$4" "${message:-no reason given}"
    else
      # systemd 252 forgets an ExecStartPost=+ at a daemon-reload meanwhile.
      [ -e "$mark" ] || touch "$mark" || fail "$NO_ROOM" "cannot write below $STATE"
    fi
  fi
  rm -rf "${stage:?}" || fail "$NO_ROOM" "cannot write below $ENV"
  [ $failed = no ] || print_log "$unit" "$began" "" # last: it ends the script if nobody is there to read it
}

# note_failure ATTEMPT due|none|keep WHAT SECONDS MESSAGE: the release does not get any further: quarantine it, and make
# on_failure due. Fails if it was not the migration or its hook that failed. The reason reads "its migration failed", or
# "its migration took longer than 600 s".
note_failure() {
  step=$(step_that_failed "$began")
  [ -z "$step" ] || {
    rm -rf "${stage:?}"
    fail 1 "systemd cannot start a migration on this host: $step"
  }
  why=$(why_it_failed "$4" "$5") || {
    rm -rf "${stage:?}"
    fail 1 "the $3 of $release could not be started: $5"
  }
  [ "$3" = migration ] || why="$why; nothing was migrated"
  { printf '%s\n' "$1" "its $3 $why" | quarantine "$app" "$2" && age_release "$app" "$release"; } ||
    fail "$NO_ROOM" "cannot write below $STATE"
}
