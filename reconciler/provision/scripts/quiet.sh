# file …; stdin: tar of needrestart, journald. Which of them is put where is told by the arguments: name=path
set -e
umask 022
stage=$(mktemp -d /etc/.reconcile-quiet.XXXXXXXX)
trap 'rm -rf "$stage"' EXIT
tar -xf - -C "$stage" --no-same-owner
for each; do
  name=${each%%=*} path=${each#*=}
  mkdir -p "${path%/*}"
  cp "$stage/$name" "$path.new"
  chmod 0644 "$path.new"
  sync "$path.new"
  mv -T "$path.new" "$path"
  [ "$name" != journald ] || systemctl restart systemd-journald
done
