# plain releases env units app slot command-file; stdin: terminal. What `exec_keep` has kept, run as `exec` runs it, but with this
# terminal. No argument and no property of a unit, which everybody may read, holds the command.
RELEASES=$1 ENV=$2 UNITS=$3 app=$4 slot=$5 kept=$KEPT/$6 unit=reconcile-exec-$6
case $6 in '' | *[!A-Za-z0-9]*) exit 1 ;; esac
trap let_go EXIT
trap 'exit 1' HUP INT TERM PIPE
demand_env "$ENV" "$app" "$slot"
run_beside "$app" "$RELEASES/$app/slots/$slot" "$ENV/$app/$slot.env" "$(unit_of "$UNITS" "$app" "$slot")" \
  "/run/credentials/$unit.service/program" --unit="$unit" --pty -p "LoadCredential=program:$kept"
