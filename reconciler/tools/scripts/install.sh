# change app release bytes-of-sums bytes-of-tree needed-KiB mode(new|replace); stdin: upload. That is sums, tree, then a tar.gz.
# Nobody but root can reach what is not checked yet: it might hold a program that makes root of whoever starts it.
change() {
  app=$1 release=$2
  begin_change "$app"
  final=$R/$app/releases/$release new=$R/$app/releases/.incoming-$release
  [ ! -d "$final" ] || [ "$6" = replace ] || { cat >/dev/null; return 0; }
  trap 'rm -rf "$new"' EXIT
  trap 'exit 1' HUP INT TERM PIPE
  rm -rf "$new"
  free=$(df -Pk "$R" | awk 'NR==2{print $4}')
  [ "$free" -gt "$5" ] || fail 28 "$(($5 / 1024)) MiB are needed below $R, $((free / 1024)) MiB are free"
  mkdir -m 0700 "$new" && mkdir "$new/files" || fail 28 "cannot write below $R/$app/releases"
  said=$({ head -c "$3" >"$new/sums" && head -c "$4" >"$new/tree" &&
    tar -xzf - -p --no-same-owner --warning=no-timestamp -C "$new/files"; } 2>&1) || {
    case $said in *"No space left"*) fail 28 "No space left on device while $release was unpacked below $R" ;; esac
    fail 1 "the upload of $release broke off or could not be written: $(printf '%s' "$said" | head -n 1)"
  }
  check_kinds "$new"
  (cd "$new/files" && sha256sum --check --strict --quiet ../sums) || fail 1 "the uploaded files of $release do not match their digests"
  chmod 00755 "$new/files"
  mkdir -p "$S/$app/trees" && tree_digest "$new/files" >"$S/$app/trees/$release" || fail 28 "cannot write below $S"
  sync -f "$new"
  if [ -d "$final" ]; then rm -rf "$new.old"; mv -T "$final" "$new.old"; fi # damaged: what runs keeps its open files
  mv -T "$new/files" "$final" && sync -f "$final" && rm -rf "$new.old"
}

check_kinds() { # folder: the files are those of the manifest; only plain ones, each with a digest and one name
  (cd "$1/files" && find . -mindepth 1 -printf '%y %m %p\t%l\n' | sort | cmp - ../tree) ||
    fail 1 "the uploaded tree of $release does not match its manifest"
  grep -qvE '^(d 755|f 644|f 755|l 777) \./' "$1/tree"
  [ $? = 1 ] || fail 1 "$release holds a device, a setuid program or another file that no release may hold"
  linked=$(find "$1/files" -type f -links +1) && [ -z "$linked" ] || fail 1 "$release holds a file with a second name"
  sed 's/^.\{64\}  //' "$1/sums" | sort >"$1/summed" && (cd "$1/files" && find . -type f | sort | cmp - ../summed) ||
    fail 1 "the digests of $release are not those of its files"
}
