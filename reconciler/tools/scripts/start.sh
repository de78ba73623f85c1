# change app slot release invocation; stdin: tar of env, unit. On trial, unless it is what the slot's files say already.
change() {
  app=$1 slot=$2 unit=$1@$2.service
  begin_change "$app"
  invocation_is "$app" "$slot" "$4"
  stage=$(staged "$app") || fail 1 "cannot write below $E"
  if [ "$(head -n 1 "$stage/env")" = "$(head -n 1 "$E/$app/$slot.env" 2>/dev/null)" ]; then
    write_slot "$app" "$slot" "$3" "$stage" || fail 28 "cannot write the files of slot $slot"
    end_trial "$app" "$slot"
  else
    try_slot "$app" "$slot" "$3" "$stage" || fail 28 "cannot write the files of slot $slot"
    systemctl daemon-reload
  fi
  systemctl reset-failed "$unit" 2>/dev/null
  systemctl restart "$unit" || log_tail "$unit" "$(started_at "$app" "$slot")"
}
