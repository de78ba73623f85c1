# change app release bytes-of-sums bytes-of-tree needed-KiB mode(new|replace) sha256 top-folder seconds; stdin: upload.
# That is sums, tree, and the address, which can hold a signature: no argument and no file ever holds it. Then a line now
# and then, for as long as the controller waits: this script ends with them.
# The archive is not one that we packed. Its bytes are those that the controller judged, and still a user without any
# rights reads and unpacks them, whose number nothing else on a system with systemd has.
NOBODY=65533
as_nobody() { # seconds command...
  seconds=$1
  shift
  setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups --no-new-privs \
    env -i PATH="$PATH" LC_ALL=C HOME=/nonexistent timeout --foreground "$seconds" "$@" 4<&- 9>&-
}

download() { # address file seconds: what there is on this host; only https, also where it leads
  if command -v curl >/dev/null; then
    printf 'url = "%s"\n' "$1" | as_nobody "$3" curl -q --config - --output "$2" --silent --show-error --fail \
      --location --max-redirs 5 --proto =https --proto-redir =https --connect-timeout 20 --retry 2
  elif command -v wget >/dev/null; then
    printf '%s\n' "$1" | as_nobody "$3" wget --no-config --input-file=- --output-document="$2" --quiet --https-only \
      --max-redirect=5 --tries=3 --timeout=30
  else
    echo "it has neither curl nor wget: install one of them, or leave out fetch: host"
    return 1
  fi
}

change() {
  begin_change "$1"
  incoming "$1" "$2" "$5" "$6" || return 0
  flow all
  exec 4<"$pipe"
  got=$new.fetched
  head -c "$3" <&4 >"$new/sums" && head -c "$4" <&4 >"$new/tree" && IFS= read -r address <&4 &&
    mkdir "$got" "$got/tree" && chmod 0700 "$got" && chown $NOBODY:$NOBODY "$got" "$got/tree" || fail 28 "cannot write below $RELEASES"
  said=$(download "$address" "$got/archive" "$9" 2>&1) ||
    fail 1 "this host could not fetch $2 by itself: $(printf '%s' "${said:-exit $?}" | head -n 1)"
  echo "$7  $got/archive" | sha256sum --check --status || fail 1 "what this host fetched for $2 is not the artifact: its sha256 is another"
  said=$(as_nobody "$9" tar -xf "$got/archive" -p --warning=no-timestamp -C "$got/tree" 2>&1) || {
    case $said in *"No space left"*) fail 28 "No space left on device while $2 was unpacked below $RELEASES" ;; esac
    fail 1 "this host could not unpack $2: $(printf '%s' "$said" | head -n 1)"
  }
  rmdir "$new/files" && mv -T "$got/tree/$8" "$new/files" && [ ! -L "$new/files" ] || fail 1 "the archive of $2 unpacks to something else here"
  one_name_each "$2" # before anything of it is given to root
  chown -hR 0:0 "$new/files"
  find "$new/files" -type d -exec chmod 0755 {} +
  find "$new/files" -type f -perm /111 -exec chmod 0755 {} +
  find "$new/files" -type f ! -perm /111 -exec chmod 0644 {} +
  appear "$1" "$2" fetched
}
