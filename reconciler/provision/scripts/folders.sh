# releases env units state traefik
set -e
for each in "$2" "$4"; do # to be closed to all others: not under somebody's feet
  case $each in /etc/reconcile | /var/lib/reconcile) continue ;; esac # a name that is ours anyway
  [ ! -d "$each" ] || [ "$(stat -c %a "$each")" = 700 ] || [ -z "$(ls -A "$each")" ] || {
    echo "$each is there and not reconcile's: name an empty folder, or one that is not there, under paths" >&2
    exit 1
  }
done
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
