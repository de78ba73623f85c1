# releases env units app slot release; stdin: command. For a shell to read. With the env, the folder and the sandbox of the slot;
# or, with a release, of a version that does not run yet: then stdin is a tar of env, unit, command. The way of `run_as`:
# without a D-Bus of the user, systemd-run neither waits nor passes anything through, so pipes do.
RELEASES=$1 ENV=$2 UNITS=$3 app=$4 slot=$5 release=$6 unit=reconcile-exec-$$.service
[ "$release" != - ] || demand_env "$ENV" "$app" "$slot"
box=$(mktemp -d "$XDG_RUNTIME_DIR/reconcile-exec.XXXXXXXXXX") && mkfifo "$box/in" "$box/out" "$box/err" || exit 1
trap 'systemctl stop "$unit" 2>/dev/null; rm -rf "${box:?}"' EXIT
trap 'exit 1' HUP INT TERM PIPE
folder=$RELEASES/$app/slots/$slot env=$ENV/$app/$slot.env unit_file=$(unit_of "$UNITS" "$app" "$slot")
if [ "$release" = - ]; then
  exec 3<&0
else
  folder=$RELEASES/$app/releases/$(newest_copy "$app" "$release") env=$box/env unit_file=$box/unit
  tar -xf - -C "$box" && exec 3<"$box/command" || exit 1
fi
set --
while IFS= read -r line; do [ -z "$line" ] || set -- "$@" -p "$line"; done <<LINES
$(properties_beside "$folder" "$env" "$unit_file" | at_home)
LINES
cat <&3 >"$box/in" &
cat "$box/out" &
cat "$box/err" >&2 &
systemd-run --user --quiet --unit="$unit" -p Type=oneshot -p "StateDirectory=apps/${app%%--*}" -p "RuntimeDirectory=apps/$app/exec" \
  -p "Environment=HOME=$(home_of "${app%%--*}")" -p "Environment=RELEASE_TMP=$XDG_RUNTIME_DIR/apps/$app/exec" "$@" \
  -p "StandardInput=file:$box/in" \
  -p "StandardOutput=file:$box/out" -p "StandardError=file:$box/err" /bin/sh 2>"$box/messages" &
if wait $!; then code=0; else
  code=$(systemctl show -P ExecMainStatus "$unit")
  [ "$(systemctl show -P ExecMainCode "$unit")" -le 1 ] || code=$((128 + code)) # killed by that signal
  [ "${code:-0}" != 0 ] || {
    code=1
    cat "$box/messages" >&2
  }
  systemctl reset-failed "$unit" 2>/dev/null
fi
exec 3<>"$box/in" 4<>"$box/out" 5<>"$box/err" 3>&- 4>&- 5>&- # a reader that still waits for the other end
wait
exit "$code"
