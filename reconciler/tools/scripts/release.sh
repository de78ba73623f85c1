# A release comes to a host in two ways, install and fetch; both begin and end here.
# Nobody but root can reach what is not checked yet: it might hold a program that makes root of whoever starts it.
incoming() { # app release needed-KiB new|replace: sets final and new, with an empty folder `files`; 1: there is nothing to do
  final=$RELEASES/$1/releases/$2 new=$RELEASES/$1/releases/.incoming-$2
  [ ! -d "$final" ] || [ "$4" = replace ] || return 1
  trap 'kill $sender $attendant 2>/dev/null; rm -rf "$new" "$new.fetched"' EXIT
  trap 'exit 1' HUP INT TERM PIPE
  rm -rf "$new" "$new.fetched"
  free=$(df -Pk "$RELEASES" | awk 'NR==2{print $4}')
  [ "$free" -gt "$3" ] || fail 28 "$(($3 / 1024)) MiB are needed below $RELEASES, $((free / 1024)) MiB are free"
  mkdir -m 0700 "$new" && mkdir "$new/files" || fail 28 "cannot write below $RELEASES/$1/releases"
}

# What is long is read under the app's lock, but only for as long as more of it comes; each sign of life renews the lease.
STALLED=25 # seconds: shorter than a lease, so that whoever takes that over finds no lock
flow() { # end(upload|all): what ends with a sender that is silent. Sets pipe, where stdin comes out
  pipe=$new/pipe
  mkfifo -m 0600 "$pipe" && exec 3<&0 || fail 28 "cannot write below $RELEASES"
  dd bs=65536 2>/dev/null 9>&- <&3 3<&- >"$pipe" & # a process whose reading can be seen
  sender=$!
  attend "$sender" "$1" 9>&- 3<&- </dev/null >/dev/null 2>&1 &
  attendant=$!
  exec 3<&- </dev/null
}

attend() { # sender end
  why=0 before= idle=0 signs=0
  while sleep 1 && read -r number name state rest <"/proc/$1/stat" && [ "$state" != Z ]; do
    read -r bytes <"/proc/$1/io" || bytes=$signs # a kernel that does not tell
    if [ "$bytes" != "$before" ]; then
      before=$bytes idle=0 signs=$((signs + 1))
      [ $((signs % 3)) != 0 ] || (take_lease) || { why=$LOCKED; break; }
    elif [ $((idle += 1)) -ge $STALLED ]; then
      why=1
      break
    fi
  done
  kill "$1"
  [ "$2" != all ] || kill -s TERM 0
  return $why
}

one_name_each() { # release
  linked=$(find "$new/files" -type f -links +1) && [ -z "$linked" ] || fail 1 "$1 holds a file with a second name"
}

check_kinds() { # release came-how: the files are those of the manifest; only plain ones, each with a digest and one name
  (cd "$new/files" && find . -mindepth 1 -printf '%y %m %p\t%l\n' | sort | cmp - ../tree) ||
    fail 1 "the $2 tree of $1 does not match its manifest"
  grep -qvE '^(d 755|f 644|f 755|l 777) \./' "$new/tree"
  [ $? = 1 ] || fail 1 "$1 holds a device, a setuid program or another file that no release may hold"
  one_name_each "$1"
  sed 's/^.\{64\}  //' "$new/sums" | sort >"$new/summed" && (cd "$new/files" && find . -type f | sort | cmp - ../summed) ||
    fail 1 "the digests of $1 are not those of its files"
}

appear() { # app release came-how: what lies in new is what the controller judged, and appears by one rename
  check_kinds "$2" "$3"
  (cd "$new/files" && sha256sum --check --strict --quiet ../sums) || fail 1 "the $3 files of $2 do not match their digests"
  chmod 00755 "$new/files"
  mkdir -p "$STATE/$1/trees" && tree_digest "$new/files" >"$STATE/$1/trees/$2" || fail 28 "cannot write below $STATE"
  sync -f "$new"
  if [ -d "$final" ]; then rm -rf "$new.old"; mv -T "$final" "$new.old"; fi # damaged: what runs keeps its open files
  mv -T "$new/files" "$final" && sync -f "$final" && rm -rf "$new.old"
}
