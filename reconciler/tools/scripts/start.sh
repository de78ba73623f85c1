# change app slot release invocation take-over hook(due|none|keep); stdin: slot files. On trial, unless it is what the slot's files say already. What
# to take over from is a unit, or -.
change() {
  app=$1 slot=$2
  receive
  begin_change "$app"
  check_free "$app"
  check_invocation "$app" "$slot" "$4"
  stage=$(unpack "$app") || fail 1 "cannot write below $ENV"
  check_release "$app" "$3"
  check_program "$app" "$3" "$RELEASES/$app/releases/$copy" "$stage"
  identity=$(sed -n '1s/^# reconcile //p' "$stage/env") || fail 1 "cannot read below $ENV"
  mark_hook "$app" "$6" after_rollout "$identity"
  if [ "$(head -n 1 "$stage/env")" = "$(head -n 1 "$ENV/$app/$slot.env" 2>/dev/null)" ]; then
    write_slot "$app" "$slot" "$3" "$stage" || fail "$NO_ROOM" "cannot write the files of slot $slot"
    end_trial "$app" "$slot"
  else
    write_trial "$app" "$slot" "$3" "$stage" || fail "$NO_ROOM" "cannot write the files of slot $slot"
  fi
  systemctl daemon-reload || fail 1 "systemd cannot reload its units"
  [ "$app" != traefik ] || give_private || fail 1 "cannot let Traefik read the htpasswd files and certificates"
  [ "$5" = - ] || step_aside "$5" "$slot" || fail 1 "cannot stop $5"
  start_slot restart "$app" "$slot" "$4"
}

# check_program APP RELEASE FOLDER STAGE: fail if the folder of the release does not hold the program that starts it, before
# the instance stops that serves. Where the start command is more than a program, there is no such file.
check_program() {
  { IFS= read -r program <"$4/program"; } 2>/dev/null || return 0
  [ -e "$3/$program" ] || fail 1 "$2 has no $program: correct start: in apps/$1.yaml, or the archive"
  [ ! -f "$3/$program" ] || [ -x "$3/$program" ] ||
    fail 1 "$program of $2 cannot be run: it is not executable in the archive, or its file system is mounted noexec"
}
