# plain releases env units app slot; stdin: command. With the user, the env, the folder and the sandbox of the slot. No argument
# and no property of a unit, which everybody may read, holds the command.
R=$1 E=$2 U=$3 app=$4 slot=$5
[ -r "$E/$app/$slot.env" ] || { echo "slot $slot of $app has no env file" >&2; exit 1; }
set --
while IFS= read -r line; do [ -z "$line" ] || set -- "$@" -p "$line"; done <<LINES
$(sandbox_of "$(unit_of "$U" "$app" "$slot")")
LINES
exec systemd-run --quiet --pipe --wait --collect -p DynamicUser=yes -p "User=$app" -p "StateDirectory=$app" \
  -p "WorkingDirectory=$R/$app/slots/$slot" -p "EnvironmentFile=$E/$app/$slot.env" -p Environment=LANG=C.UTF-8 \
  -p "Environment=HOME=/var/lib/$app" -p RuntimeDirectory="$app/exec" -p "Environment=RELEASE_TMP=/run/$app/exec" \
  -p Environment=RELEASE_DISTRIBUTION=none -p UMask=0077 "$@" /bin/sh -c 'eval "exec $$(cat)"'
