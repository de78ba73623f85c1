# The inventory of an app: the files that reconcile wrote outside its own folders, each with its digest. What is in no
# inventory belongs to another program.

# is_recorded APP PATH: true if the inventory of the app has the path. Fails if it cannot be read.
is_recorded() {
  mentions "  $2\$" "$STATE/$1/inventory"
}

# is_as_written APP PATH: true if the file is there and has the content that the inventory tells. Fails if it cannot be
# read.
is_as_written() {
  [ -e "$2" ] || return 1
  digest=$(sha256sum <"$2") || fail 1 "cannot read $2"
  grep -qsxF "${digest%% *}  $2" "$STATE/$1/inventory"
}

# mentions PATTERN FILE…: true if a line of one of the files that exist matches. Fails if one cannot be read.
mentions() {
  pattern=$1
  shift
  for file; do
    shift
    [ ! -e "$file" ] || set -- "$@" "$file"
  done
  [ $# -gt 0 ] || return 1
  grep -q -e "$pattern" "$@" && return
  [ $? = 1 ] || fail 1 "cannot read $*"
  return 1
}

# record APP PATH FILE: note in the inventory that the path is ours, with the digest of FILE, its content. Returns 1.
record() {
  digest=$(sha256sum <"$3") && rewrite_inventory "$1" "$2" "${digest%% *}  $2"
}

# forget APP PATH: take the path out of the inventory. What is gone is gone on disk first: if a power cut brought it back,
# no inventory would name it. Returns 1.
forget() {
  [ -e "$STATE/$1/inventory" ] || return 0
  sync "${2%/*}" && rewrite_inventory "$1" "$2" ''
}

# rewrite_inventory APP PATH LINE: replace what the inventory says of the path by the line, if there is one. It is on disk
# before the file is: after a power cut, a file that no inventory names counts as another program's. Returns 1.
rewrite_inventory() {
  inventory=$STATE/$1/inventory
  {
    { [ ! -e "$inventory" ] || grep -v "  $2\$" "$inventory" || [ $? = 1 ]; } && { [ -z "$3" ] || echo "$3"; }
  } >"$inventory.new" && sync "$inventory.new" && mv -T "$inventory.new" "$inventory" && sync "$STATE/$1"
}

# publish APP STAGED TARGET MODE: make the staged file the target: synced, recorded, then one rename. Returns 1.
publish() {
  if [ -e "$3" ] && cmp -s "$2" "$3"; then
    record "$1" "$3" "$3" && rm -f "$2"
    return
  fi
  fresh=${3%/*}/.${3##*/}.new
  cp "$2" "$fresh" && chmod "$4" "$fresh" && sync "$fresh" && record "$1" "$3" "$fresh" && mv -T "$fresh" "$3" && rm -f "$2"
}
