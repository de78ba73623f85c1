# plain env units app slot node-root program node distribution(sname|name) epmd-port zflags how(remote|rpc); stdin: terminal. For rpc
# that is a command for a shell, whose first argument is `bin/<app>`. `bin/<app>` beside the node of a slot, with its user, env and
# sandbox. No property of a unit, which everybody may read, holds the command.
ENV=$1 unit=$(unit_of "$2" "$3" "$4") app=$3 slot=$4 root=$5 program=$5/bin/$6 node=$7 distribution=$8 port=$9
shift 9
flags=$1 how=$2
[ -r "$ENV/$app/$slot.env" ] || {
  echo "slot $slot of $app has no env file" >&2
  exit 1
}
set --
while IFS= read -r line; do [ -z "$line" ] || set -- "$@" -p "$line"; done <<LINES
$(sandbox_of "$unit")
LINES
case $how in
  remote) set -- "$@" --pty "$program" remote ;;
  rpc) set -- "$@" --pipe /bin/sh -s "$program" ;;
esac
exec systemd-run --quiet --wait --collect -p DynamicUser=yes -p "User=$app" -p "StateDirectory=$app" \
  -p "WorkingDirectory=$root" -p "EnvironmentFile=$ENV/$app/$slot.env" -p UMask=0077 \
  --setenv=LANG=C.UTF-8 --setenv="HOME=/var/lib/$app" --setenv=RELEASE_TMP=/tmp --setenv="RELEASE_NODE=$node" \
  --setenv="RELEASE_DISTRIBUTION=$distribution" --setenv="ERL_EPMD_PORT=$port" --setenv="ERL_ZFLAGS=$flags" "$@"
