# end lease(keep|free); stdin: tar of history. A line for each app: keep the newest 20, also of apps that are gone. The lease is
# given back unless more is under way. It goes on to say who had it: we may take it again without a new look.

# add_lines: add each app's line to its history. Returns 1 if one could not be written; the others are.
add_lines() {
  all_written=yes now_seconds=$(date +%s) || return 1
  for line in "$stage"/*; do
    [ -f "$line" ] || continue
    history=$STATE/.history/${line##*/}
    {
      { [ ! -e "$history" ] || cat "$history"; } && sed "s/^{/{\"at\": $now_seconds, /" "$line"
    } >"$stage/.all" && tail -n 20 "$stage/.all" >"$stage/.new" && mv -T "$stage/.new" "$history" || all_written=no
  done
  [ $all_written = yes ]
}

# drop_oldest: keep the histories of the 200 apps that changed last. Returns 1.
drop_oldest() {
  # shellcheck disable=SC2012 # they are named after apps
  ls -t "$STATE/.history" | tail -n +201 | while IFS= read -r app; do rm -f "$STATE/.history/$app" || return 1; done
}

receive
mkdir -p "$STATE/.history" || fail "$NO_ROOM" "cannot write below $STATE"
lock_lease
read_lease
[ "$token" = "$TOKEN" ] || [ "$left" = 0 ] || fail "$LOCKED" "$holder has this host now"
stage=${STATE:?}/.lines
{ rm -rf "${stage:?}" && mkdir -m 0700 "$stage" && tar -xf - -C "$stage" --no-same-owner; } ||
  fail "$NO_ROOM" "cannot write below $STATE"
written=yes
add_lines && drop_oldest && rm -rf "${stage:?}" || written=no
[ "$1" = keep ] || [ "$token" != "$TOKEN" ] || write_lease "$TOKEN" 0 "$HOLDER" || written=no
[ $written = yes ] || fail "$NO_ROOM" "cannot write below $STATE"
