# change app mark(suspend|resume|retry|reject) seconds; stdin: reason. For reject after the identity. As root also adopt
change() {
  receive
  begin_change "$1"
  case $2 in
    suspend) write_suspension "$STATE/$1/suspended" "$3" ;;
    reject) quarantine "$1" ;;
    adopt) adopt_files "$1" ;;
    resume) rm -f "$STATE/$1/suspended" ;;
    retry) retry_app "$1" ;;
  esac || fail "$NO_ROOM" "cannot write below $STATE"
}

# adopt_files APP: what another program wrote for the app is ours from now on. Returns 1.
adopt_files() {
  for file in "$UNITS/$1@.service" "$ROUTES/$1.yml" "$ENV/$1"/*.env; do
    [ ! -f "$file" ] || record "$1" "$file" "$file" || return 1
  done
  [ "$1" != traefik ] || [ ! -f "$UNITS/traefik.service" ] ||
    record "$1" "$UNITS/traefik.service" "$UNITS/traefik.service" || return 1
  echo yes >"$STATE/$1/adopted"
}

# retry_app APP: forget what failed, and write the route as if long ago: certificates are asked for again. Returns 1.
retry_app() {
  systemctl reset-failed "$1@*" 2>/dev/null
  rm -f "$STATE/$1/quarantine" && { [ ! -f "$ROUTES/$1.yml" ] || touch -d @1 "$ROUTES/$1.yml"; }
}
