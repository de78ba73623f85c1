# plain app slot: how the BEAM in a slot is reached, in its own words: its environment after the release's start script ran
pid=$(systemctl show -P MainPID "$1@$2.service")
[ "${pid:-0}" -gt 0 ] || {
  echo "nothing runs in slot $2" >&2
  exit 1
}
grep -szE '^(RELEASE_(ROOT|PROG|NODE|DISTRIBUTION)|ERL_(EPMD_PORT|ZFLAGS))=' "/proc/$pid/environ" | tr '\n\0' ' \n'
