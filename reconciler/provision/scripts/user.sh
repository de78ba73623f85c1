# user; stdin: the lines for its authorized_keys. Only that user's rights touch files in its home: it may have planted a link.
set -e
id -u "$1" >/dev/null 2>&1 || useradd --create-home --user-group --shell /bin/sh --comment 'deploys by reconcile' "$1"
usermod --password '*' --shell /bin/sh "$1" # no password fits; unlike !, sshd lets its keys in
home=$(getent passwd "$1" | cut -d: -f6)
[ -d "$home" ] || { mkdir -m 0755 "$home" && chown "$1:" "$home"; }
# shellcheck disable=SC2016 # the user's shell expands it
exec runuser -u "$1" -- sh -c '
  set -e
  cd "$1"
  umask 077
  mkdir -p .ssh
  chmod 0700 .ssh
  cat >.ssh/.wanted
  touch .ssh/authorized_keys
  sed "s/.* \\(AAAA[^ ]*\\).*/\\1/" .ssh/.wanted >.ssh/.known
  grep -vF -f .ssh/.known .ssh/authorized_keys >.ssh/.new || [ $? = 1 ]
  cat .ssh/.wanted >>.ssh/.new
  sync .ssh/.new
  mv -T .ssh/.new .ssh/authorized_keys
  rm .ssh/.wanted .ssh/.known' sh "$home"
