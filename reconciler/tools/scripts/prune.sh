# change app name…: releases and unfinished uploads. Renamed first: a release is there whole or not at all.
change() {
  app=$1
  begin_change "$app"
  shift
  for name; do
    case $name in */* | . | .. | '') fail 77 "what is to be pruned is not the name of a release" ;; esac
    ! is_needed "$app" "$name" || fail "$STALE" "a slot needs $name"
    prune "$app" "$name" || fail "$NO_ROOM" "cannot take away $RELEASES/$app/releases/$name"
  done
}

# prune APP NAME: take a release, or an unfinished upload, away, and what is remembered of it. Returns 1.
prune() {
  folder=${RELEASES:?}/${1:?}/releases/${2:?} old=${RELEASES:?}/${1:?}/releases/.old-${2:?}
  case $2 in
    .*) rm -rf "${folder:?}" ;;
    *) rm -rf "${old:?}" && { [ ! -d "$folder" ] || { mv -T "$folder" "$old" && rm -rf "${old:?}"; }; } ;;
  esac && rm -f "$STATE/$1/migrated/$2" "$STATE/$1/migrated/$2@"* "$STATE/$1/trees/$2"
}
