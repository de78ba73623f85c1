# change app slot release invocation replaces(yes|no); stdin: tar of env, unit, epmd
change() {
  app=$1 slot=$2 unit=$1@$2.service
  begin_change "$app"
  invocation_is "$app" "$slot" "$4"
  stage=$(staged "$app") || fail 1 "cannot write below $E"
  if [ "$5" = yes ]; then
    if [ ! -e "$E/$app/$slot.previous" ] && [ -e "$E/$app/$slot.env" ]; then
      cp -p "$E/$app/$slot.env" "$E/$app/.$slot.keep" && sync "$E/$app/.$slot.keep" &&
        mv -T "$E/$app/.$slot.keep" "$E/$app/$slot.previous" || fail 28 "cannot write below $E"
    fi
  fi
  keep_unit "$app" "$stage/unit" || fail 28 "cannot write below $S"
  write_slot "$app" "$slot" "$3" "$stage" || fail 28 "cannot write the files of slot $slot"
  systemctl reset-failed "$unit" 2>/dev/null
  systemctl restart "$unit" || log_tail "$unit" "$(started_at "$app" "$slot")"
}
