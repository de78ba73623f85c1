# change app. What is ours gets back the owner and the rights that we gave it.
TREES=yes # a release may have been damaged in this way only
change() {
  begin_change "$1"
  # From the outermost on: in a folder of another user, what a name means could change at any moment.
  while read -r _ _ path; do
    [ -z "$path" ] || [ -L "$path" ] || restore_rights "$1" "$path" || fail 1 "cannot give $path its owner and mode back"
  done <<END
$(find_rights "$1")
END
  left=$(find_rights "$1")
  [ -z "$left" ] || fail 1 "${left##* } does not keep the owner and the mode that it was given"
}

# restore_rights APP PATH: see find_rights. Returns 1.
restore_rights() {
  # shellcheck disable=SC3067 # every shell of a system with systemd knows -O
  [ -O "$2" ] || chown -h "$OWN_UID" "$2" || return 1
  case $2 in
    "$STATE"/./*/*) chmod go-w "$2" ;;
    "$STATE" | "$ENV" | "$STATE"/* | "$ENV"/*) chmod go-rwx "$2" ;;
    "$ROUTES"/*.htpasswd | "$ROUTES"/*.pem) chgrp "$(traefik_group)" "$2" && chmod 0640 "$2" ;;
    "$ROUTES"/* | "$UNITS"/*) chmod 0644 "$2" ;;
    *) chmod go-w,a+rx "$2" ;;
  esac
}
