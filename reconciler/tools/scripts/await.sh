# change app slot milliseconds restarts mode(port|steady) log(yes|no): wait until the port is open, or for mode steady all the
# time; less when it fails. The lease is renewed: waiting is part of a rollout.
change() {
  take_lease
  unit=$1@$2.service slot=$2 port=$(printf '%04X' "$2" 2>/dev/null) restarts=$4 mode=$5 log=$6 ended=
  deadline=$(($(uptime_milliseconds) + $3))
  while :; do
    if has_failed "$unit" "$restarts"; then
      log=yes
      break
    fi
    ! { [ "$mode" = port ] && is_listening "$port"; } || break
    [ "$(uptime_milliseconds)" -lt "$deadline" ] || break
    sleep 0.05
  done
  [ "$log" = yes ] || return 0
  # shellcheck disable=SC2046 # a word for each run
  print_log "$unit" "$(started_at "$1" "$slot")" $(runs_on_trial "$1" "$slot")
  [ "$ended" != '1 0' ] || part ended - well # it exited, with status 0
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

# has_failed UNIT RESTARTS: true if it does not run, or was started again more than once since it had so many restarts. Sets count
# to the restarts, and ended to how it ended last, by systemd's code and status, while that can be seen: until it is started again.
has_failed() {
  # shellcheck disable=SC2046 # one word for each property, in the order of their names; else systemd has an order of its own
  set -- "$2" $(systemctl show -p ActiveState -p ExecMainCode -p ExecMainStatus -p NRestarts -p SubState "$1" | sort | cut -d= -f2)
  count=${5:-0}
  case "$2 ${6:-}" in failed* | *auto-restart*) ended="$3 $4" ;; esac
  [ "$2" = failed ] || [ "$2" = inactive ] || [ $((count - $1)) -ge 2 ]
}
