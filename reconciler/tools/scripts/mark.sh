# change app mark(suspend|resume|retry|reject) seconds; stdin: reason. For reject after the identity. As root also adopt
change() {
  receive
  begin_change "$1"
  case $2 in
    suspend)
      [ "$3" -le 3155760000 ] || fail 77 "nothing is suspended for more than 100 years"
      echo "$([ "$3" = 0 ] && echo 0 || echo $(($(date +%s) + $3))) $HOLDER $(why)" >"$STATE/$1/suspended.new" &&
        mv -T "$STATE/$1/suspended.new" "$STATE/$1/suspended" ;;
    reject) quarantine "$1" ;;
    adopt)
      : >"$STATE/$1/adopted" || fail 28 "cannot write below $STATE"
      for each in "$UNITS/$1@.service" "$ROUTES/$1.yml" "$ENV/$1"/*.env $([ "$1" != traefik ] || echo "$UNITS/traefik.service"); do
        [ ! -f "$each" ] || record "$1" "$each" "$each" || fail 28 "cannot write below $STATE"
      done ;;
    resume) rm -f "$STATE/$1/suspended" ;;
    retry)
      rm -f "$STATE/$1/quarantine"
      [ ! -f "$ROUTES/$1.yml" ] || touch -d @1 "$ROUTES/$1.yml" # as if written long ago: certificates are asked for again
      systemctl reset-failed "$1@*" 2>/dev/null || : ;;
  esac
}
