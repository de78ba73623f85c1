# A release comes to a host in two ways, install and fetch; both begin and end here. It is put together in a folder that
# only root can reach: what is not checked yet might hold a program that makes root of anyone who starts it.

# begin_release APP RELEASE NEEDED-KiB+FILES new|replace: set here, the folder of the release; final, where a whole one
# belongs; and incoming, a folder with an empty folder `files`. Returns 1 if the release is here. Fails if there is no room.
begin_release() {
  here=${RELEASES:?}/${1:?}/releases/$(newest_copy "$1" "$2") incoming=${RELEASES:?}/${1:?}/releases/.incoming-${2:?}
  arriving='' old_sums='' coming=$1 coming_release=$2
  [ ! -d "$here" ] || [ "$4" = replace ] || return 1
  final=$(free_copy "$1" "$2") || fail 1 "there are too many copies of $2 below $RELEASES/$1/releases"
  final=$RELEASES/$1/releases/$final
  trap end_release EXIT
  trap 'exit 1' HUP INT TERM PIPE
  rm -rf "${incoming:?}" "${incoming:?}.fetched" || fail "$NO_ROOM" "cannot write below $RELEASES/$1/releases"
  (demand_room "${3%+*}" "${3#*+}") 2>/dev/null || drop_arrived "$1" || fail "$NO_ROOM" "cannot write below $RELEASES/$1/releases"
  demand_room "${3%+*}" "${3#*+}"
  { mkdir -m 0700 "$incoming" && mkdir "$incoming/files"; } || fail "$NO_ROOM" "cannot write below $RELEASES/$1/releases"
}

# demand_room KiB FILES: fail unless there is room for them below RELEASES. Some file systems have as many files as they
# have blocks, and count no inodes.
demand_room() {
  free=$(df -k --output=avail,itotal,iavail "$RELEASES" | awk 'NR==2{print $1, ($2 + 0 > 0 ? $3 : "-")}')
  inodes=${free#* } free=${free% *}
  [ "$free" -gt "$1" ] || fail "$NO_ROOM" "$(($1 / 1024)) MiB are needed below $RELEASES, $((free / 1024)) MiB are free"
  [ "$inodes" = - ] || [ "$inodes" -gt "$2" ] ||
    fail "$NO_ROOM" "$2 inodes are needed below $RELEASES, one for each file, and $inodes are free (df -i)"
}

# end_release: end what reads, and take away what is left of a release that did not get here.
end_release() {
  # shellcheck disable=SC2086 # two numbers, or none
  kill $reader $watcher 2>/dev/null
  [ -z "$arriving" ] || keep_arrived "$coming" "$coming_release"
  rm -rf "${incoming:?}" "${incoming:?}.fetched"
}

# keep_arrived APP RELEASE: keep what came of an upload that broke off, for the next one, in the place of what was kept before:
# plain files at paths that a release may have, where only root reaches them, and noted are those that are whole. Nothing is kept
# if that does not work.
keep_arrived() {
  kept=$RELEASES/${1:?}/releases/.arrived-${2:?}
  drop_arrived "$1" && chmod 0700 "$incoming/files" &&
    find "$incoming/files" ! -type d '(' ! -type f -o -links +1 -o -perm /7000 ')' -delete &&
    ! grep -qvE '^[0-9a-f]{64}  \./[^/]' "$incoming/sums" && ! grep -qE '/\.{0,2}(/|$)' "$incoming/sums" &&
    (
      cd "$incoming/files" && timeout 240 sha256sum --check ../sums 2>/dev/null | sed -n 's/: OK$//p' >../whole
      awk 'FILENAME == "../whole" { whole[$0] = 1; next } substr($0, 67) in whole' ../whole ../sums >"$STATE/$1/sums/.arrived-$2"
    ) &&
    mv -T "$incoming/files" "$kept"
}

# drop_arrived APP: take away what is kept of uploads that broke off. Returns 1.
drop_arrived() {
  mkdir -p "$STATE/$1/sums" && rm -rf "${RELEASES:?}/${1:?}/releases"/.arrived-* && rm -f "$STATE/$1/sums"/.arrived-*
}

# What is long is read under the app's lock, but only for as long as more of it comes; each sign of life renews the
# lease. A silent sender has this many seconds: fewer than a lease, so that the next controller finds no lock.
STALLED=25

# read_stdin upload|all: set pipe, from which stdin is read from here on; and what ends when its sender is silent: the
# upload, or all of this script. Fails.
read_stdin() {
  pipe=$incoming/pipe
  mkfifo -m 0600 "$pipe" || fail "$NO_ROOM" "cannot write below $RELEASES"
  exec 3<&0
  dd bs=65536 2>/dev/null 9>&- <&3 3<&- >"$pipe" & # a process whose reading can be seen
  reader=$!
  watch_reader "$reader" "$1" 9>&- 3<&- </dev/null >/dev/null 2>&1 &
  watcher=$!
  exec 3<&- </dev/null
}

# watch_reader PID upload|all: renew the lease while the process reads; end it, or all, when nothing comes. Returns 1
# then, LOCKED if another controller has the host, and 0 if the process ended.
watch_reader() {
  status=0 before='' idle=0 signs=0 copying=0
  while sleep 1 && read -r _ _ process_state _ <"/proc/$1/stat" && [ "$process_state" != Z ]; do
    read -r bytes <"/proc/$1/io" || bytes=$signs # a kernel that does not count
    if [ "$bytes" != "$before" ]; then
      before=$bytes idle=0 signs=$((signs + 1))
      [ $((signs % 3)) != 0 ] || (take_lease) || {
        status=$LOCKED
        break
      }
    elif [ -s "$incoming/held" ] && [ $((copying += 1)) -le 600 ]; then
      : # nothing is read while files are copied on this host
    elif [ $((idle += 1)) -ge "$STALLED" ]; then
      status=1
      break
    fi
  done
  kill "$1"
  [ "$2" != all ] || kill -s TERM 0
  return "$status"
}

# check_names RELEASE: fail if a file of the release has a second name.
check_names() {
  linked=$(find "$incoming/files" -type f -links +1) && [ -z "$linked" ] || fail 1 "$1 holds a file with a second name"
}

# check_kinds RELEASE HOW-IT-CAME: fail unless the files are those of the manifest: plain ones, each with a digest and
# one name.
check_kinds() {
  (cd "$incoming/files" && find . -mindepth 1 -printf '%y %m %p\t%l\n' | sort | cmp - ../tree) ||
    fail 1 "the $2 tree of $1 does not match its manifest"
  grep -qvE '^(d 755|f 644|f 755|l 777) \./' "$incoming/tree"
  [ $? = 1 ] || fail 1 "$1 holds a device, a setuid program or another file that no release may hold"
  check_names "$1"
  {
    sed 's/^.\{64\}  //' "$incoming/sums" | sort >"$incoming/summed" &&
      (cd "$incoming/files" && find . -type f | sort | cmp - ../summed)
  } || fail 1 "the digests of $1 are not those of its files"
}

# receive_manifest BYTES BYTES-OF-SUMS BYTES-OF-TREE: read the manifest from file 4: so many packed bytes, which hold sums,
# tree and held (held.sh). Returns 1.
receive_manifest() {
  head -c "$1" <&4 | unpack_manifest | {
    head -c "$2" >"$incoming/sums" && head -c "$3" >"$incoming/tree" && head -c 10000000 >"$incoming/held"
  } && [ "$(stat -c %s "$incoming/sums" "$incoming/tree")" = "$(printf '%s\n%s' "$2" "$3")" ]
}

unpack_manifest() {
  if [ -n "$old_sums" ]; then unpatch "$old_sums"; else gzip -dc; fi
}

# is_unchanged APP: true if the release that is here is the one of the manifest after all: only a time of a file differs
# from what was installed. That is noted.
is_unchanged() {
  [ -d "$here" ] && (
    cd "$here" && find . -mindepth 1 -printf '%y %m %p\t%l\n' ! -uid "$OWN_UID" -printf '%U\n' | sort | cmp -s - "$incoming/tree" &&
      sha256sum --check --strict --status "$incoming/sums" 2>/dev/null
  ) && note_release "$1" "$here" "${here##*/}"
}

# note_release APP FOLDER NAME: note what the release with this folder name holds, and what tells later whether its files were
# changed, or fail.
note_release() {
  {
    mkdir -p "$STATE/$1/trees" "$STATE/$1/sums" && tree_digest "$2" >"$STATE/$1/trees/$3" &&
      cp "$incoming/sums" "$STATE/$1/sums/$3" && sync "$STATE/$1/trees/$3" "$STATE/$1/sums/$3"
  } || fail "$NO_ROOM" "cannot write below $STATE"
}

# finish_release APP RELEASE HOW-IT-CAME: check what is in incoming against what the controller judged; then it is the
# release, by one rename. Or it fails.
finish_release() {
  check_kinds "$2" "$3"
  (cd "$incoming/files" && sha256sum --check --strict --quiet ../sums) ||
    fail "${differs:-1}" "the $3 files of $2 do not match their digests"
  chmod 00755 "$incoming/files" || fail "$NO_ROOM" "cannot write below $RELEASES/$1/releases"
  note_release "$1" "$incoming/files" "${final##*/}"
  { sync -f "$incoming" && mv -T "$incoming/files" "$final" && sync -f "$final" && drop_arrived "$1"; } ||
    fail "$NO_ROOM" "cannot write below $RELEASES/$1/releases"
}
