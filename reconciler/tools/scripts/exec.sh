# plain releases env units app slot; stdin: command. For a shell to read. With the user, the env, the folder and the sandbox of
# the slot. No argument and no property of a unit, which everybody may read, holds the command.
RELEASES=$1 ENV=$2 UNITS=$3 app=$4 slot=$5
demand_env "$ENV" "$app" "$slot"
run_beside "$app" "$RELEASES/$app/slots/$slot" "$ENV/$app/$slot.env" "$(unit_of "$UNITS" "$app" "$slot")" '' --pipe
