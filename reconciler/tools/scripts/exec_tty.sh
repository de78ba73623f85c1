# plain releases env units app slot command-file; stdin: terminal. What `exec_keep` has kept, run as `exec` runs it, but with this
# terminal. No argument and no property of a unit, which everybody may read, holds the command.
RELEASES=$1 ENV=$2 UNITS=$3 app=$4 slot=$5 file=/run/reconcile-exec/$6 unit=reconcile-exec-$6
case $6 in '' | *[!A-Za-z0-9]*) exit 1 ;; esac
trap 'rm -f "$file"' EXIT
trap 'exit 1' HUP INT TERM PIPE
[ -r "$ENV/$app/$slot.env" ] || {
  echo "slot $slot of $app has no env file" >&2
  exit 1
}
set --
while IFS= read -r line; do [ -z "$line" ] || set -- "$@" -p "$line"; done <<LINES
$(sandbox_of "$(unit_of "$UNITS" "$app" "$slot")")
LINES
systemd-run --unit="$unit" --quiet --pty --wait --collect -p DynamicUser=yes -p "User=$app" -p "StateDirectory=$app" \
  -p "WorkingDirectory=$RELEASES/$app/slots/$slot" -p "EnvironmentFile=$ENV/$app/$slot.env" -p Environment=LANG=C.UTF-8 \
  -p "Environment=HOME=/var/lib/$app" -p RuntimeDirectory="$app/exec" -p "Environment=RELEASE_TMP=/run/$app/exec" \
  -p Environment=RELEASE_DISTRIBUTION=none -p UMask=0077 -p "LoadCredential=program:$file" "$@" \
  /bin/sh "/run/credentials/$unit.service/program"
