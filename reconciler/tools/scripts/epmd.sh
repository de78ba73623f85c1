# The port mapper of Elixir nodes: one for all apps of the host. It is copied out of a release, since releases go.
EPMD=reconcile-epmd.service

# lock_epmd: keep other scripts from changing the port mapper until this subshell ends. Fails.
lock_epmd() {
  exec 7>>"$STATE/epmd.lock"
  flock -w 30 7 || fail 1 "cannot lock $STATE/epmd.lock"
}

# put_epmd APP STAGE RELEASE-FOLDER: the port mapper that the app needs is there. Its unit is started by the slots that
# need it. Fails.
put_epmd() (
  lock_epmd
  for program in "$3"/erts-*/bin/epmd; do
    [ -x "$program" ] || fail 1 "distribution needs erts-*/bin/epmd, and ${3##*/} has none"
    copy_epmd "$program" || fail "$NO_ROOM" "cannot write below $RELEASES"
  done
  changed=$STATE/epmd.changed # left there until a port mapper that runs already has taken the new unit
  {
    { cmp -s "$2/epmd" "$UNITS/$EPMD" || echo yes >"$changed"; } && publish "$1" "$2/epmd" "$UNITS/$EPMD" 0644
  } || fail "$NO_ROOM" "cannot write below $UNITS"
  [ ! -e "$changed" ] || {
    systemctl daemon-reload && systemctl try-restart "$EPMD" && rm -f "$changed" # nodes find it again in seconds
  } || fail 1 "cannot restart $EPMD"
)

# copy_epmd PROGRAM: copy the port mapper to its own folder, unless there is one. Returns 1.
copy_epmd() {
  folder=$RELEASES/reconcile-epmd
  [ -x "$folder/epmd" ] || {
    mkdir -p "$folder" && cp "$1" "$folder/.new" && chmod 0755 "$folder/.new" && sync "$folder/.new" &&
      mv -T "$folder/.new" "$folder/epmd"
  }
}

# drop_epmd: take the port mapper away if no unit names it, or fail. Its program goes last: while that is there, a
# removal that failed goes on.
drop_epmd() (
  [ -e "$UNITS/$EPMD" ] || [ -e "$RELEASES/reconcile-epmd" ] || exit 0
  lock_epmd
  ! mentions "$EPMD" "$UNITS"/*@.service "$TRIAL_UNITS"/*@*.service || exit 0
  systemctl stop "$EPMD" 2>/dev/null || has_ended "$EPMD" || fail 1 "cannot stop $EPMD"
  for inventory in "$STATE"/*/inventory; do
    recorded=${inventory%/inventory} recorded=${recorded##*/}
    ! is_recorded "$recorded" "$UNITS/$EPMD" || forget "$recorded" "$UNITS/$EPMD" || fail "$NO_ROOM" "cannot write below $STATE"
  done
  { rm -f "$UNITS/$EPMD" "$UNITS/.$EPMD.new" && systemctl daemon-reload && rm -rf "${RELEASES:?}/reconcile-epmd"; } ||
    fail 1 "cannot take $EPMD away"
)
