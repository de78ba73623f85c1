# What a version changes is sent as what differs from an older release of the app that this host has, where both ends have zstd
# (--patch-from). That one is compared with what the controller has of it before anything is made from it, and every file
# with its digest afterwards: what is damaged here makes the controller send all.

# find_old APP RELEASE DIGEST: set old_sums, what that release holds as it was noted, and old_folder. Fails.
find_old() {
  old_sums=$(newest_copy "$1" "$2")
  old_folder=$RELEASES/$1/releases/$old_sums old_sums=$STATE/$1/sums/$old_sums
  echo "$3  $old_sums" | sha256sum --check --status 2>/dev/null || fail "$NOT_HELD" "what $2 holds is not known here any more"
  differs=$NOT_HELD
}

# unpatch FILE: print what stdin is, which is packed as what differs from the file. It may take this much memory beside the file.
unpatch() {
  zstd -dcq -M128MB --patch-from="$1"
}

# make_reference: put what the upload differs from into incoming/reference: the sums of the older release, and those of its files
# that the first line of `held` names, by numbers of lines of these sums. Returns 1, and has said why.
make_reference() {
  [ -n "$old_sums" ] || return 0
  read -r _ digest numbers <"$incoming/held"
  # shellcheck disable=SC2016 # awk expands them
  awk -v numbers="$numbers" "$AWK_RANGES"'BEGIN { note(numbers, 1, named) } FNR in named { print substr($0, 67) }' "$old_sums" >"$incoming/old" &&
    { cat "$old_sums" && (cd "$old_folder" && xargs -r -d '\n' -a "$incoming/old" cat --); } >"$incoming/reference" || return 1
  echo "$digest  $incoming/reference" | sha256sum --check --status 2>/dev/null || {
    echo "the older release is damaged"
    return 1
  }
}
