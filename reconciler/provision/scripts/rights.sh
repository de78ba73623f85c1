# program sudoers; stdin: tar of both. The program first: sudo never names one that is not there.
set -e
umask 077
stage=$(mktemp -d /etc/.reconcile-host.XXXXXXXX)
trap 'rm -rf "${stage:?}"' EXIT
tar -xf - -C "$stage" --no-same-owner
sh -n "$stage/program"
visudo -cqf "$stage/sudoers" || {
  echo 'visudo does not take the sudoers line' >&2
  exit 1
}
mkdir -p "${1%/*}" "${2%/*}"

# put STAGED TARGET MODE: make the staged file the target, by one rename. sudo reads no file with a dot in its name.
put() {
  fresh=${2%/*}/.${2##*/}.new
  cp "$1" "$fresh"
  chmod "$3" "$fresh"
  sync "$fresh"
  mv -T "$fresh" "$2"
}

put "$stage/program" "$1" 0755
put "$stage/sudoers" "$2" 0440
