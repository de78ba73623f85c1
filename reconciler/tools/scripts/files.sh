# plain units traefik any-app: the unit and the route of an app as they are now, each in base64 on a line of its own
for file in "$1/$3@.service" "$2/$3.yml"; do
  [ -L "$file" ] || head -c 65536 "$file" 2>/dev/null | base64 -w 0
  echo
done
