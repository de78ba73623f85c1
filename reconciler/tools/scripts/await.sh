# change app slot milliseconds restarts mode(port|steady) log(yes|no): wait until the port is open, or for mode steady all the
# time; less when it fails. The lease is renewed: waiting is part of a rollout.
change() {
  take_lease
  unit=$1@$2.service slot=$2 port=$(printf '%04X' "$2" 2>/dev/null) restarts=$4 mode=$5 log=$6
  deadline=$(($(date +%s%3N) + $3))
  while :; do
    if has_failed "$unit" "$restarts"; then
      log=yes
      break
    fi
    ! { [ "$mode" = port ] && is_listening "$port"; } || break
    [ "$(date +%s%3N)" -lt "$deadline" ] || break
    sleep 0.05
  done
  [ "$log" != yes ] || print_log "$unit" "$(started_at "$1" "$slot")"
}

# has_failed UNIT RESTARTS: true if it does not run, or was started again more than once since it had so many restarts.
has_failed() {
  properties=$(systemctl show -p ActiveState -p NRestarts "$1" | sort | cut -d= -f2 | tr '\n' ' ') # else in its own order
  state=${properties%% *} count=${properties#* }
  [ "$state" = failed ] || [ "$state" = inactive ] || [ $((${count:-0} - $2)) -ge 2 ]
}
