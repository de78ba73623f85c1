# change app slot release invocation; stdin: slot files. The process goes on.
change() {
  receive
  begin_change "$1"
  invocation_is "$1" "$2" "$4"
  stage=$(staged "$1") || fail 28 "cannot write below $ENV"
  write_slot "$1" "$2" "$3" "$stage" || fail 28 "cannot write the files of slot $2"
  end_trial "$1" "$2"
  systemctl daemon-reload
}
