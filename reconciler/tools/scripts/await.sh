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
  [ "$log" = yes ] || return 0
  print_log "$unit" "$(started_at "$1" "$slot")"
  is_listening "$port" || part ports - "$(ports_of "$unit")"
}

# ports_of UNIT: print the TCP ports that its processes listen on, a few of them, on one line.
ports_of() {
  group=$(systemctl show -P ControlGroup "$1")
  [ -n "$group" ] || return 0
  for file in "/sys/fs/cgroup$group/cgroup.procs" "/sys/fs/cgroup/systemd$group/cgroup.procs"; do
    [ -r "$file" ] || continue
    # shellcheck disable=SC2046 # a folder for each process
    set -- $(head -n 64 "$file" | sed 's|.*|/proc/&/fd|')
    [ $# = 0 ] || timeout -k 1 5 find "$@" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n' |
      awk 'FILENAME == "-" {own[$1]; next} $4 == "0A" && $10 in own {n = split($2, local, ":"); print local[n]}' \
        - /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u | head -n 8 |
      while read -r hex; do printf '%d ' "0x$hex"; done
    return
  done
}

# has_failed UNIT RESTARTS: true if it does not run, or was started again more than once since it had so many restarts.
has_failed() {
  properties=$(systemctl show -p ActiveState -p NRestarts "$1" | sort | cut -d= -f2 | tr '\n' ' ') # else in its own order
  state=${properties%% *} count=${properties#* }
  [ "$state" = failed ] || [ "$state" = inactive ] || [ $((${count:-0} - $2)) -ge 2 ]
}
