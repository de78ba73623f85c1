# The place where visitors wait while the only instance of an app is replaced: an address of its own, on which systemd listens. It
# lets connections queue while the gate is closed, and hands them on to the slot when it is open. The gate is a file in memory
# with a time: whoever dies in between, and after a reboot, visitors get through.
HOLD_SECONDS=60
PROXYD=/usr/lib/systemd/systemd-socket-proxyd
[ -x "$PROXYD" ] || PROXYD=/lib/systemd/systemd-socket-proxyd

# hold_address PORT: print the address at which visitors of this port wait, as tools/holding.py has it.
hold_address() {
  echo "127.90.$(($1 / 256)).$(($1 % 256)):1"
}

# arm_hold APP PORT: make the place and close its gate, or fail. Returns 1 if nothing can listen there on this host.
arm_hold() {
  holding=reconcile-hold-$1 stage=${ENV:?}/${1:?}/.stage
  [ -x "$PROXYD" ] || return 1
  {
    rm -rf "${stage:?}" && mkdir -m 0700 "$stage" && hold_socket "$1" "$2" >"$stage/socket" &&
      hold_service "$1" "$2" >"$stage/service" && publish "$1" "$stage/service" "$UNITS/$holding.service" 0644 &&
      publish "$1" "$stage/socket" "$UNITS/$holding.socket" 0644 && rm -rf "${stage:?}" && close_gate "$1"
  } || fail "$NO_ROOM" "cannot write below $ENV, $UNITS and $TRIAL_ENV"
  systemctl daemon-reload || fail 1 "systemd cannot reload its units"
  # What is left of an earlier time would hand on at once.
  systemctl stop "$holding.socket" "$holding.service" || fail 1 "cannot stop $holding"
  systemctl enable --quiet --no-reload "$holding.socket" || fail 1 "cannot enable $holding.socket"
  systemctl start "$holding.socket" 2>/dev/null
}

# hold_socket APP PORT: print the unit that listens. It is enabled: a route that names its address works after a reboot, too.
hold_socket() {
  printf '%s\n' '[Unit]' "Description=$1: visitors wait here while its only instance is replaced" \
    '[Socket]' "ListenStream=$(hold_address "$2")" Backlog=4096 NoDelay=yes '[Install]' WantedBy=sockets.target
}

# hold_service APP PORT: print the unit that waits for the gate, then hands the connections on. What runs as root here is given
# nothing of the app: neither its env nor its files.
hold_service() {
  # shellcheck disable=SC2016 # the shell of the unit expands it; systemd leaves alone what has no braces
  gate='while read -r until <'$TRIAL_ENV/$1'/hold && IFS=. read -r up rest </proc/uptime && [ $up -lt $until ]; do sleep 0.1; done'
  printf '%s\n' '[Unit]' "Description=$1: hands visitors on who have waited" '[Service]' Type=exec DynamicUser=yes \
    TimeoutStartSec=180 LimitNOFILE=65536 "ExecStartPre=+/bin/sh -c '$gate 2>/dev/null; exit 0'" \
    "ExecStart=$PROXYD --connections-max=8192 --exit-idle-time=5s 127.0.0.1:$2" \
    ProtectSystem=strict ProtectHome=yes PrivateDevices=yes ProtectProc=invisible RestrictAddressFamilies='AF_INET AF_UNIX' \
    MemoryDenyWriteExecute=yes SystemCallFilter=@system-service
}

# close_gate APP: connections wait from now on, for a time. Returns 1.
close_gate() {
  mkdir -p "$TRIAL_ENV/$1" && chmod 0700 "$TRIAL_ENV" "$TRIAL_ENV/$1" &&
    echo $(($(uptime_milliseconds) / 1000 + HOLD_SECONDS)) >"$TRIAL_ENV/$1/.hold.new" &&
    mv -T "$TRIAL_ENV/$1/.hold.new" "$TRIAL_ENV/$1/hold"
}

# open_gate APP: those who wait get through. Fails.
open_gate() {
  [ ! -e "$TRIAL_ENV/$1/hold" ] || rm -f "$TRIAL_ENV/$1/hold" || fail "$NO_ROOM" "cannot write below $TRIAL_ENV"
}

# drop_hold APP: take the place away, or fail. Connections that go through it are handed on until they end. What the inventory
# says goes last: with it a removal that failed goes on.
drop_hold() {
  open_gate "$1"
  holding=reconcile-hold-$1
  is_recorded "$1" "$UNITS/$holding.service" || is_recorded "$1" "$UNITS/$holding.socket" || return 0
  systemctl disable --quiet --no-reload "$holding.socket" 2>/dev/null
  for link in "$UNITS"/*.wants/"$holding.socket"; do
    [ ! -L "$link" ] || rm -f "$link" || fail "$NO_ROOM" "cannot write below $UNITS"
  done
  systemctl stop "$holding.socket" 2>/dev/null || has_ended "$holding.socket" || fail 1 "cannot stop $holding.socket"
  rm -f "$UNITS/$holding.socket" "$UNITS/$holding.service" || fail "$NO_ROOM" "cannot write below $UNITS"
  systemctl daemon-reload || fail 1 "systemd cannot reload its units"
  { forget "$1" "$UNITS/$holding.socket" && forget "$1" "$UNITS/$holding.service"; } ||
    fail "$NO_ROOM" "cannot write below $STATE"
}
