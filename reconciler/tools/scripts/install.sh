# change app release bytes-of-manifest bytes-of-sums bytes-of-tree needed-KiB+files mode(new|replace) release|no-delta sha256|no-delta; stdin: upload.
# That is the packed manifest, then a tar.gz of the files that this host does not have, and of all links. If an older release is
# named, with the digest of its sums, both are what differs from that one (delta.sh).
change() {
  begin_change "$1"
  # What came of the upload that ended meanwhile was not here when the controller asked what it need not send.
  [ -z "$waited" ] || fail "$STALE" "another upload for $1 ended just now"
  begin_release "$1" "$2" "$6" "$7" || return 0
  [ "$8" = - ] || find_old "$1" "$8" "$9"
  read_stdin upload
  exec 4<"$pipe"
  message=$(receive_manifest "$3" "$4" "$5" 2>&1) || refuse_upload "$2" "$message"
  ! is_unchanged "$1" || return 0
  [ ! -s "$incoming/held" ] || differs=$NOT_HELD
  message=$({ copy_held && make_reference && rm -f "$incoming/held"; } 2>&1) || refuse_copy "$2" "$message"
  arriving=yes
  message=$(unpack_upload 2>&1 <&4) || refuse_upload "$2" "$message"
  arriving=''
  finish_release "$1" "$2" uploaded
}

# unpack_upload: unpack stdin into incoming. Returns 1, and has said why.
unpack_upload() {
  if [ -n "$old_sums" ]; then
    unpatch "$incoming/reference" | tar -xf - -p --no-same-owner --warning=no-timestamp -C "$incoming/files"
  else
    tar -xzf - -p --no-same-owner --warning=no-timestamp -C "$incoming/files"
  fi
}

# refuse_upload RELEASE MESSAGE: fail with what went wrong while it was unpacked. What came is kept if only its end is missing.
refuse_upload() {
  case $2 in *'Unexpected EOF'* | *'unexpected end of file'*) ;; *) arriving='' ;; esac
  case $2 in *"No space left"*) fail "$NO_ROOM" "No space left on device while $1 was unpacked below $RELEASES" ;; esac
  kill "$reader" 2>/dev/null
  wait "$watcher"
  case $? in
    1) fail 1 "the upload of $1 stopped: nothing came for $STALLED s" ;;
    "$LOCKED") fail "$LOCKED" "another controller took this host during the upload of $1" ;;
  esac
  fail "${differs:-1}" "the upload of $1 broke off or could not be written: $(printf '%s' "$2" | head -n 1)"
}

# refuse_copy RELEASE MESSAGE: fail with what went wrong while files were copied that this host had a moment ago.
refuse_copy() {
  case $2 in *"No space left"*) fail "$NO_ROOM" "No space left on device while $1 was put together below $RELEASES" ;; esac
  fail "$NOT_HELD" "files of $1 that are in other releases could not be copied: $(printf '%s' "$2" | head -n 1)"
}
