# change app mark(suspend|resume|retry|reject) seconds; stdin: reason. For reject after the identity. As root also adopt
change() {
  receive
  begin_change "$1"
  case $2 in
    suspend)
      [ "$3" -le 3155760000 ] || fail 77 "nothing is suspended for more than 100 years"
      echo "$([ "$3" = 0 ] && echo 0 || echo $(($(date +%s) + $3))) $HOLDER $(why)" >"$S/$1/suspended.new" &&
        mv -T "$S/$1/suspended.new" "$S/$1/suspended" ;;
    reject) quarantine "$1" ;;
    adopt)
      : >"$S/$1/adopted" || fail 28 "cannot write below $S"
      for each in "$U/$1@.service" "$T/$1.yml" "$E/$1"/*.env $([ "$1" != traefik ] || echo "$U/traefik.service"); do
        [ ! -f "$each" ] || record "$1" "$each" "$each" || fail 28 "cannot write below $S"
      done ;;
    resume) rm -f "$S/$1/suspended" ;;
    retry)
      rm -f "$S/$1/quarantine"
      [ ! -f "$T/$1.yml" ] || touch -d @1 "$T/$1.yml" # as if written long ago: certificates are asked for again
      systemctl reset-failed "$1@*" 2>/dev/null || : ;;
  esac
}
