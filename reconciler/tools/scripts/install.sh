# change app release bytes-of-sums bytes-of-tree needed-KiB new|replace; stdin: sums, tree, then a tar.gz
change() {
  begin_change "$1"
  incoming "$1" "$2" "$5" "$6" || { cat >/dev/null; return 0; }
  said=$({ head -c "$3" >"$new.sums" && head -c "$4" >"$new.tree" &&
    tar -xzf - -p --no-same-owner --warning=no-timestamp -C "$new"; } 2>&1) || {
    case $said in *"No space left"*) fail 28 "No space left on device while $2 was unpacked below $R" ;; esac
    fail 1 "the upload of $2 broke off or could not be written: $(printf '%s' "$said" | head -n 1)"
  }
  appear "$1" "$2" uploaded
}
