# change app release bytes-of-sums bytes-of-tree needed-KiB+files mode(new|replace); stdin: upload. That is sums and tree. The files
# are those that the app has on this host which this one is a process of; none is trusted before its digest was checked.
change() {
  begin_change "$1"
  begin_release "$1" "$2" "$5" "$6" || return 0
  read_stdin all
  exec 4<"$pipe"
  receive_manifest "$3" "$4" || fail "$NO_ROOM" "cannot write below $RELEASES"
  ! is_unchanged "$1" || return 0
  family=${1%%--*}
  from=$RELEASES/$family/releases/$(newest_copy "$family" "$2")
  [ -d "$from" ] || fail "$STALE" "release $2 of $family is not on this host"
  message=$(cp -a --reflink=auto "$from/." "$incoming/files" 2>&1) ||
    fail "$NO_ROOM" "$2 could not be copied from $family: $(printf '%s\n' "$message" | head -n 1)"
  finish_release "$1" "$2" copied
}
