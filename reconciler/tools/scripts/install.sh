# change app release bytes-of-sums bytes-of-tree needed-KiB new|replace; stdin: sums, tree, then a tar.gz
change() {
  app=$1 release=$2
  begin_change "$app"
  final=$R/$app/releases/$release new=$R/$app/releases/.incoming-$release
  [ ! -d "$final" ] || [ "$6" = replace ] || { cat >/dev/null; return 0; }
  trap 'rm -rf "$new" "$new.sums" "$new.tree"' EXIT
  trap 'exit 1' HUP INT TERM PIPE
  rm -rf "$new"
  free=$(df -Pk "$R" | awk 'NR==2{print $4}')
  [ "$free" -gt "$5" ] || fail 28 "$(($5 / 1024)) MiB are needed below $R, $((free / 1024)) MiB are free"
  mkdir "$new" || fail 28 "cannot write below $R/$app/releases"
  said=$({ head -c "$3" >"$new.sums" && head -c "$4" >"$new.tree" &&
    tar -xzf - -p --no-same-owner --warning=no-timestamp -C "$new"; } 2>&1) || {
    case $said in *"No space left"*) fail 28 "No space left on device while $release was unpacked below $R" ;; esac
    fail 1 "the upload of $release broke off or could not be written: $(printf '%s' "$said" | head -n 1)"
  }
  (cd "$new" && sha256sum --check --strict --quiet "$new.sums") || fail 1 "the uploaded files of $release do not match their digests"
  (cd "$new" && find . -mindepth 1 -printf '%y %m %p\t%l\n' | sort | cmp - "$new.tree") ||
    fail 1 "the uploaded tree of $release does not match its manifest"
  mkdir -p "$S/$app/trees" && tree_digest "$new" >"$S/$app/trees/$release" || fail 28 "cannot write below $S"
  sync -f "$new"
  if [ -d "$final" ]; then rm -rf "$new.old"; mv -T "$final" "$new.old"; fi # damaged: what runs keeps its open files
  mv -T "$new" "$final" && sync -f "$final" && rm -rf "$new.old"
}
