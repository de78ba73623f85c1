# change app mark(suspend|resume|retry|reject) seconds; stdin: reason. For reject after the identity. As root also adopt
change() {
  receive
  begin_change "$1"
  case $2 in
    suspend) suspend_app "$1" "$3" ;;
    reject) quarantine "$1" ;;
    adopt) adopt_files "$1" ;;
    resume) rm -f "$STATE/$1/suspended" ;;
    retry) retry_app "$1" ;;
  esac || fail "$NO_ROOM" "cannot write below $STATE"
}

# suspend_app APP SECONDS: leave the app alone for so long, and with 0 until it is resumed. Stdin is the reason. Returns 1.
suspend_app() {
  [ "$2" -le 3155760000 ] || fail 77 "nothing is suspended for more than 100 years"
  seconds=$(date +%s) && reason=$(one_line) || return 1
  until=$((seconds + $2))
  [ "$2" != 0 ] || until=0
  echo "$until $HOLDER $reason" >"$STATE/$1/suspended.new" &&
    mv -T "$STATE/$1/suspended.new" "$STATE/$1/suspended"
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
