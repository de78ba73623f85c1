# releases env units state traefik
set -e
for each in "$1" "$3" "${5%/*}" "$5"; do
  mkdir -p -m 0755 "$each"
  chown root:root "$each"
  chmod 0755 "$each"
done
for each in "$2" "$4"; do
  mkdir -p -m 0700 "$each"
  chown root:root "$each"
  chmod 0700 "$each"
done
