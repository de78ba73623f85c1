# program sudoers; stdin: tar of both. The program first: sudo never names one that is not there.
set -e
umask 077
stage=$(mktemp -d /etc/.reconcile-host.XXXXXXXX)
trap 'rm -rf "$stage"' EXIT
tar -xf - -C "$stage" --no-same-owner
sh -n "$stage/program"
visudo -cqf "$stage/sudoers" || { echo 'visudo does not take the sudoers line' >&2; exit 1; }
mkdir -p "${1%/*}" "${2%/*}"
put() { # staged-file target mode
  cp "$1" "${2%/*}/.${2##*/}.new" # a name with a dot: sudo reads none of those
  chmod "$3" "${2%/*}/.${2##*/}.new"
  sync "${2%/*}/.${2##*/}.new"
  mv -T "${2%/*}/.${2##*/}.new" "$2"
}
put "$stage/program" "$1" 0755
put "$stage/sudoers" "$2" 0440
