# change app name…: releases and unfinished uploads. Renamed first: a release is there whole or not at all.
change() {
  app=$1
  begin_change "$app"
  shift
  for name; do
    case $name in */* | . | .. | '') fail 77 "what is to be pruned is not the name of a release" ;; esac
    folder=$RELEASES/$app/releases/$name
    ! needed "$app" "$name" || fail $STALE "a slot needs $name"
    case $name in
      .*) rm -rf "$folder" ;;
      *) [ ! -d "$folder" ] || { mv -T "$folder" "$RELEASES/$app/releases/.old-$name" && rm -rf "$RELEASES/$app/releases/.old-$name"; } ;;
    esac
    rm -f "$STATE/$app/migrated/$name" "$STATE/$app/trees/$name"
  done
}
