# change app release bytes-of-manifest bytes-of-sums bytes-of-tree needed-KiB+files mode(new|replace) sha256 top-folder seconds; stdin: upload.
# That is the packed manifest, and the address, which can hold a signature: no argument and no file ever holds it. Then a line now
# and then, for as long as the controller waits: this script ends with them.
#
# The archive is not one that we packed. Its bytes are those that the controller judged, and still a user without any
# rights reads and unpacks them, whose number nothing else on a system with systemd has.
NOBODY=65533
change() {
  begin_change "$1"
  begin_release "$1" "$2" "$6" "$7" || return 0
  read_stdin all
  exec 4<"$pipe"
  fetched=$incoming.fetched
  receive_manifest "$3" "$4" "$5" || fail "$NO_ROOM" "cannot write below $RELEASES"
  ! is_unchanged "$1" || return 0
  {
    IFS= read -r address <&4 && mkdir "$fetched" "$fetched/tree" && chmod 0700 "$fetched" && chown "$NOBODY:$NOBODY" "$fetched" "$fetched/tree"
  } || fail "$NO_ROOM" "cannot write below $RELEASES"
  message=$(download "$address" "$fetched/archive" "${10}" 2>&1) ||
    fail 1 "this host could not fetch $2 by itself: $(printf '%s' "${message:-exit $?}" | head -n 1)"
  echo "$8  $fetched/archive" | sha256sum --check --status ||
    fail 1 "what this host fetched for $2 is not the artifact: its sha256 is another"
  unpack_archive "$2" "${10}"
  { rmdir "$incoming/files" && mv -T "$fetched/tree/$9" "$incoming/files" && [ ! -L "$incoming/files" ]; } ||
    fail 1 "the archive of $2 unpacks to something else here"
  check_names "$2" # before anything of it is given to root
  { give_to_root && leave_out_mac; } || fail "$NO_ROOM" "cannot write below $RELEASES"
  finish_release "$1" "$2" fetched
}

# as_nobody SECONDS COMMAND…: run the command without any rights, for so long.
as_nobody() {
  seconds=$1
  shift
  setpriv --reuid="$NOBODY" --regid="$NOBODY" --clear-groups --no-new-privs \
    env -i PATH="$PATH" LC_ALL=C HOME=/nonexistent timeout --foreground "$seconds" "$@" 4<&- 9>&-
}

# download ADDRESS FILE SECONDS: fetch it with what there is on this host; only https, also where it leads. Returns 1,
# and has said why.
download() {
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

# unpack_archive RELEASE SECONDS: unpack what was fetched, or fail.
unpack_archive() {
  message=$(as_nobody "$2" tar -xf "$fetched/archive" -p --warning=no-timestamp -C "$fetched/tree" 2>&1) && return
  case $message in
    *"No space left"*) fail "$NO_ROOM" "No space left on device while $1 was unpacked below $RELEASES" ;;
  esac
  fail 1 "this host could not unpack $1: $(printf '%s' "$message" | head -n 1)"
}

# give_to_root: the files are root's, and have the modes that a release has. Returns 1.
give_to_root() {
  chown -hR 0:0 "$incoming/files" &&
    find "$incoming/files" -type d -exec chmod 0755 {} + &&
    find "$incoming/files" -type f -perm /111 -exec chmod 0755 {} + &&
    find "$incoming/files" -type f ! -perm /111 -exec chmod 0644 {} +
}

# leave_out_mac: remove what macOS adds to an archive, where the manifest does not have it. Returns 1.
leave_out_mac() {
  (cd "$incoming/files" && find . -mindepth 1 '(' -name '._*' -o -name .DS_Store -o -name __MACOSX ')' >../mac) || return 1
  while IFS= read -r path; do
    grep -qF " $path$(printf '\t')" "$incoming/tree" || rm -rf "${incoming:?}/files/${path:?}" || return 1
  done <"$incoming/mac"
}
