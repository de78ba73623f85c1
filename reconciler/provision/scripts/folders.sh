# releases env units state traefik
set -e
umask 022
# Env and state are closed to all others, so they must not be folders that something else fills. Our own name is ours.
for folder in "$2" "$4"; do
  case $folder in /etc/reconcile | /var/lib/reconcile) continue ;; esac
  [ ! -d "$folder" ] || [ "$(stat -c %a "$folder")" = 700 ] || [ -z "$(ls -A "$folder")" ] || {
    echo "$folder is there and not reconcile's: name an empty folder, or one that is not there, under paths" >&2
    exit 1
  }
done
for folder in "$1" "$3" "${5%/*}" "$5"; do
  mkdir -p "$folder"
  chown root:root "$folder"
  chmod 0755 "$folder"
done
for folder in "$2" "$4"; do
  mkdir -p "${folder%/*}"
  [ -d "$folder" ] || mkdir -m 0700 "$folder"
  chown root:root "$folder"
  chmod 0700 "$folder"
done
