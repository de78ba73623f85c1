# change app job mark(suspend|resume) seconds; stdin: reason. Of one job of the app: its timer stops, or runs again.
change() {
  receive
  begin_change "$1"
  mark=$STATE/$1/jobs/$2.suspended timer=$1--$2.timer
  mkdir -p "$STATE/$1/jobs" || fail "$NO_ROOM" "cannot write below $STATE"
  case $3 in
    suspend) write_suspension "$mark" "$4" ;;
    resume) rm -f "$mark" ;;
  esac || fail "$NO_ROOM" "cannot write below $STATE"
  ! is_recorded "$1" "$UNITS/$timer" || set_timer "$1" "$timer"
}
