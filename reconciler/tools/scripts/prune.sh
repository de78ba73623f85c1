# change app name…: releases and unfinished uploads. Renamed first: a release is there whole or not at all.
change() {
  app=$1
  begin_change "$app"
  shift
  for name; do
    case $name in */* | . | .. | '') fail 77 "what is to be pruned is not the name of a release" ;; esac
    prune "$app" "$name" || fail "$NO_ROOM" "cannot take away $RELEASES/$app/releases/$name"
  done
}

# prune APP NAME: take a release with all its copies and what is remembered of it, one damaged copy (RELEASE~2, or RELEASE~1
# for the first), or an unfinished upload away. The copy that counts goes last: another never passes for it. Returns 1.
prune() {
  case $2 in
    .*)
      rm -rf "${RELEASES:?}/${1:?}/releases/${2:?}" && rm -f "$STATE/$1/sums/$2"
      return
      ;;
  esac
  release=$(release_of "$2") newest=$(newest_copy "$1" "$release")
  if [ "$release" != "$2" ]; then
    [ "$2" != "$newest" ] || return 0 # the others are gone meanwhile
    prune_folder "$1" "${2%'~1'}"
    return
  fi
  for folder in "$RELEASES/$1/releases/$2" "$RELEASES/$1/releases/$2~"*; do
    copy=${folder##*/}
    [ "$copy" = "$newest" ] || [ "$(release_of "$copy")" != "$2" ] || prune_folder "$1" "$copy" || return 1
  done
  prune_folder "$1" "$newest" && rm -f "$STATE/$1/migrated/$2" "$STATE/$1/migrated/$2@"*
}

# prune_folder APP NAME: take the folder of a release away, by one rename. It is gone on disk before what is noted of it: a power
# cut brings back no release that nobody can compare. Returns 1, or fails if it is needed.
prune_folder() {
  ! is_needed "$1" "$2" || fail "$STALE" "a slot or a job needs $2"
  old=${RELEASES:?}/${1:?}/releases/.old-${2:?}
  rm -rf "${old:?}" && { [ ! -d "$RELEASES/$1/releases/$2" ] || mv -T "$RELEASES/$1/releases/$2" "$old"; } &&
    rm -rf "${old:?}" && sync "$RELEASES/$1/releases" && rm -f "$STATE/$1/trees/$2" "$STATE/$1/sums/$2"
}
