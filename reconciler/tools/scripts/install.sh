# change app release bytes-of-sums bytes-of-tree needed-KiB mode(new|replace); stdin: upload. That is sums, tree, then a tar.gz.
change() {
  begin_change "$1"
  incoming "$1" "$2" "$5" "$6" || return 0
  flow upload
  said=$({ head -c "$3" >"$new/sums" && head -c "$4" >"$new/tree" &&
    tar -xzf - -p --no-same-owner --warning=no-timestamp -C "$new/files"; } 2>&1 <"$pipe") || {
    case $said in *"No space left"*) fail 28 "No space left on device while $2 was unpacked below $RELEASES" ;; esac
    kill "$sender" 2>/dev/null
    wait "$attendant"
    case $? in
      1) fail 1 "the upload of $2 stopped: nothing came for $STALLED s" ;;
      $LOCKED) fail $LOCKED "another controller took this host during the upload of $2" ;;
    esac
    fail 1 "the upload of $2 broke off or could not be written: $(printf '%s' "$said" | head -n 1)"
  }
  appear "$1" "$2" uploaded
}
