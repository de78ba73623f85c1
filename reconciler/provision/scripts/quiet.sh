# file …; stdin: tar of needrestart, journald. The arguments say which of them is put where: name=path
set -e
umask 022
stage=$(mktemp -d /etc/.reconcile-quiet.XXXXXXXX)
trap 'rm -rf "${stage:?}"' EXIT
tar -xf - -C "$stage" --no-same-owner
for place; do
  name=${place%%=*} path=${place#*=}
  mkdir -p "${path%/*}"
  cp "$stage/$name" "$path.new"
  chmod 0644 "$path.new"
  sync "$path.new"
  mv -T "$path.new" "$path"
  [ "$name" != journald ] || systemctl restart systemd-journald
done
