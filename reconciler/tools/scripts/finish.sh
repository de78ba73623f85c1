# end; stdin: tar of history. A line for each app: keep the newest 20, and give the lease back.
mkdir -p "$S" && exec 8>>"$S/lease.lock" && flock -w 30 8 || fail $LOCKED "the lease of this host cannot be had"
read_lease
[ "$token" = "$TOKEN" ] || [ "$left" = 0 ] || fail $LOCKED "$holder has this host now"
stage=$S/.history
rm -rf "$stage" && mkdir -m 0700 "$stage" && tar -xf - -C "$stage" --no-same-owner || fail 28 "cannot write below $S"
for line in "$stage"/*; do
  history=$S/${line##*/}/history
  [ ! -d "${history%/*}" ] || { { cat "$history" 2>/dev/null; sed "s/^{/{\"at\": $(date +%s), /" "$line"; } | tail -n 20 >"$history.new" && mv -T "$history.new" "$history"; }
done
rm -rf "$stage"
[ "$token" != "$TOKEN" ] || write_lease - 0 -
