# plain releases env app slot command: with the user, the env and the folder of the slot
R=$1 E=$2 app=$3 slot=$4
[ -r "$E/$app/$slot.env" ] || { echo "slot $slot of $app has no env file" >&2; exit 1; }
exec systemd-run --quiet --pipe --wait --collect -p DynamicUser=yes -p "User=$app" -p "StateDirectory=$app" \
  -p "WorkingDirectory=$R/$app/slots/$slot" -p "EnvironmentFile=$E/$app/$slot.env" -p Environment=LANG=C.UTF-8 \
  -p "Environment=HOME=/var/lib/$app" -p RuntimeDirectory="$app/exec" -p "Environment=RELEASE_TMP=/run/$app/exec" \
  -p Environment=RELEASE_DISTRIBUTION=none --setenv="RECONCILE_EXEC=$5" /bin/sh -c 'eval "exec $$RECONCILE_EXEC"'
