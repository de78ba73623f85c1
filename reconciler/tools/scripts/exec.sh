# plain releases env units app slot; stdin: command. For a shell to read. With the user, the env, the folder and the sandbox of
# the slot. No argument and no property of a unit, which everybody may read, holds the command.
RELEASES=$1 ENV=$2 UNITS=$3 app=$4 slot=$5
[ -r "$ENV/$app/$slot.env" ] || {
  echo "slot $slot of $app has no env file" >&2
  exit 1
}
set --
while IFS= read -r line; do [ -z "$line" ] || set -- "$@" -p "$line"; done <<LINES
$(sandbox_of "$(unit_of "$UNITS" "$app" "$slot")")
LINES
exec systemd-run --quiet --pipe --wait --collect -p DynamicUser=yes -p "User=$app" -p "StateDirectory=$app" \
  -p "WorkingDirectory=$RELEASES/$app/slots/$slot" -p "EnvironmentFile=$ENV/$app/$slot.env" -p Environment=LANG=C.UTF-8 \
  -p "Environment=HOME=/var/lib/$app" -p RuntimeDirectory="$app/exec" -p "Environment=RELEASE_TMP=/run/$app/exec" \
  -p Environment=RELEASE_DISTRIBUTION=none -p UMask=0077 "$@" /bin/sh
