# change app slot release invocation; stdin: slot files. The process goes on.
change() {
  receive
  begin_change "$1"
  check_invocation "$1" "$2" "$4"
  stage=$(unpack "$1") || fail "$NO_ROOM" "cannot write below $ENV"
  write_slot "$1" "$2" "$3" "$stage" || fail "$NO_ROOM" "cannot write the files of slot $2"
  end_trial "$1" "$2"
  systemctl daemon-reload || fail 1 "systemd cannot reload its units"
}
