# change app slot release invocation take-over; stdin: slot files. On trial, unless it is what the slot's files say already. What
# to take over from is a unit, or -.
change() {
  app=$1 slot=$2 unit=$1@$2.service
  receive
  begin_change "$app"
  free_to_take "$app"
  invocation_is "$app" "$slot" "$4"
  stage=$(staged "$app") || fail 1 "cannot write below $ENV"
  if [ "$(head -n 1 "$stage/env")" = "$(head -n 1 "$ENV/$app/$slot.env" 2>/dev/null)" ]; then
    write_slot "$app" "$slot" "$3" "$stage" || fail 28 "cannot write the files of slot $slot"
    end_trial "$app" "$slot"
  else
    try_slot "$app" "$slot" "$3" "$stage" || fail 28 "cannot write the files of slot $slot"
  fi
  systemctl daemon-reload
  systemctl reset-failed "$unit" 2>/dev/null
  [ "$app" != traefik ] || give_passwords
  [ "$5" = - ] || step_aside "$5" "$slot"
  systemctl restart "$unit" || log_tail "$unit" "$(started_at "$app" "$slot")"
}
