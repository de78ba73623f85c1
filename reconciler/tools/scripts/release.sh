# A release comes to a host in two ways, install and fetch; both begin and end here.
incoming() { # app release needed-KiB new|replace: sets final and new, an empty folder; 1 when there is nothing to do
  final=$R/$1/releases/$2 new=$R/$1/releases/.incoming-$2
  [ ! -d "$final" ] || [ "$4" = replace ] || return 1
  trap 'rm -rf "$new" "$new.sums" "$new.tree" "$new.fetched"' EXIT
  trap 'exit 1' HUP INT TERM PIPE
  rm -rf "$new" "$new.fetched"
  free=$(df -Pk "$R" | awk 'NR==2{print $4}')
  [ "$free" -gt "$3" ] || fail 28 "$(($3 / 1024)) MiB are needed below $R, $((free / 1024)) MiB are free"
  mkdir "$new" || fail 28 "cannot write below $R/$1/releases"
}

appear() { # app release came-how: what lies in new is what the controller judged, and appears by one rename
  (cd "$new" && sha256sum --check --strict --quiet "$new.sums") || fail 1 "the $3 files of $2 do not match their digests"
  (cd "$new" && find . -mindepth 1 -printf '%y %m %p\t%l\n' | sort | cmp - "$new.tree") ||
    fail 1 "the $3 tree of $2 does not match its manifest"
  mkdir -p "$S/$1/trees" && tree_digest "$new" >"$S/$1/trees/$2" || fail 28 "cannot write below $S"
  sync -f "$new"
  if [ -d "$final" ]; then rm -rf "$new.old"; mv -T "$final" "$new.old"; fi # damaged: what runs keeps its open files
  mv -T "$new" "$final" && sync -f "$final" && rm -rf "$new.old"
}
