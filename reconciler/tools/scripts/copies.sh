# The folders of a release. Usually it has one, of its name. If that is damaged, or gone, a whole one is put beside it as
# RELEASE~2, and so on: what runs from a damaged one, and what a reboot would start, keep theirs until they are replaced.

# newest_copy APP RELEASE: print the name of the folder that counts, also if there is none.
newest_copy() {
  copy=$2 most=1
  for folder in "$RELEASES/$1/releases/$2~"*; do
    number=${folder##*"$2~"}
    case $number in '' | *[!0-9]* | ????*) continue ;; esac
    [ "$number" -le "$most" ] || { most=$number copy=$2~$number; }
  done
  echo "$copy"
}

# free_copy APP RELEASE: print the name of a folder that counts more than all others, and that no slot names. Returns 1.
# shellcheck disable=SC2329 # not every script needs it, here and below
free_copy() {
  copy=$(newest_copy "$1" "$2")
  number=${copy#"$2"} number=${number#'~'}
  while [ -e "$RELEASES/$1/releases/$copy" ] || is_linked "$1" "$copy"; do
    number=$((${number:-1} + 1)) copy=$2~$number
    [ "$number" -lt 1000 ] || return 1
  done
  echo "$copy"
}

# release_of FOLDER-NAME: print the release that is in it.
# shellcheck disable=SC2329
release_of() {
  case ${1##*'~'} in "$1" | '' | *[!0-9]*) echo "$1" ;; *) echo "${1%'~'*}" ;; esac
}

# is_linked APP FOLDER-NAME: true if the files of a slot name the folder, or if that cannot be read.
# shellcheck disable=SC2329
is_linked() {
  for link in "$RELEASES/$1/slots"/*; do
    [ -L "$link" ] || continue
    target=$(readlink "$link") && [ "$target" != "../releases/$2" ] || return 0
  done
  return 1
}
