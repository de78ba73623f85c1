# plain env app slot node-root program node distribution(sname|name) epmd-port zflags how(remote|rpc); stdin: terminal. For rpc
# that is the expression. `bin/<app>` beside the node of a slot, with its user and env. No property of a unit, which everybody
# may read, holds the expression.
E=$1 app=$2 slot=$3 root=$4 program=$4/bin/$5 node=$6 distribution=$7 port=$8 flags=$9
shift 9
[ -r "$E/$app/$slot.env" ] || { echo "slot $slot of $app has no env file" >&2; exit 1; }
case $1 in
  remote) set -- --pty "$program" remote ;;
  rpc) set -- --pipe /bin/sh -c 'exec "$$0" rpc "$$(cat)" </dev/null' "$program" ;;
esac
how=$1
shift
exec systemd-run --quiet "$how" --wait --collect -p DynamicUser=yes -p "User=$app" -p "StateDirectory=$app" \
  -p "WorkingDirectory=$root" -p "EnvironmentFile=$E/$app/$slot.env" -p UMask=0077 \
  --setenv=LANG=C.UTF-8 --setenv="HOME=/var/lib/$app" --setenv=RELEASE_TMP=/tmp --setenv="RELEASE_NODE=$node" \
  --setenv="RELEASE_DISTRIBUTION=$distribution" --setenv="ERL_EPMD_PORT=$port" --setenv="ERL_ZFLAGS=$flags" "$@"
