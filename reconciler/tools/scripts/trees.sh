# Whether the releases that slots link to are still what was installed: names, sizes, times, modes, links, owners.
#
# Words are split where they are not quoted: they are names and paths that were checked.

# tree_digest FOLDER: print what changes with every change of a name, size, time, mode or link below it, and with an owner
# that is not ours. The folder's own time says when it served last. Returns 1.
tree_digest() {
  (cd "$1" && sum=$(find . -mindepth 1 -printf '%y %m %s %T@ %p\t%l\n' ! -uid "$OWN_UID" -printf '%U %p\n' | sort | sha256sum) &&
    echo "${sum%% *}")
}

# look_sums: set sums to the digests of the files in files, and, as a pass begins, add to records the releases that are damaged.
# shellcheck disable=SC2086 # several files and trees
look_sums() {
  trees='' installed=''
  # shellcheck disable=SC2086 # lines of find_folders
  [ "$TREES" = no ] || note_trees $found
  if [ -z "$trees" ]; then
    sums=$([ -z "$files" ] || sha256sum $files)
    return
  fi
  sums=$(list_trees $trees | sha256sum - $files)
  listed=${sums%% *} sums=${sums#*-}
  sums=${sums#?}
  known=''
  { IFS= read -r known <"$TRIAL_ENV/.trees"; } 2>/dev/null
  [ "$known" = "$listed" ] || judge_trees $trees
}

# note_trees WORD…: set trees to the releases that slots link to, as app/releases/name, and installed to what is noted of
# each. The words are those of find_folders.
note_trees() {
  while [ $# -gt 3 ]; do
    tree=${1#"$RELEASES/"} tree=${tree%/*}/releases/${4#../releases/}
    case $2$trees in
      release* | *" $tree "*) ;;
      *)
        if [ "$4" != - ] && IFS= read -r digest <"$STATE/${tree%%/*}/trees/${tree##*/}"; then
          trees="$trees $tree " installed="$installed$digest
"
        fi
        ;;
    esac
    shift 4
  done 2>/dev/null # nothing may be noted of a release
}

# list_trees TREE…: print what tree_digest would of all of them, and what is noted of each. A digest of it that is known to be
# of whole trees spares a digest of each: in a pass that finds nothing to do, a process more an app would be most of the work.
list_trees() {
  printf '%s\n' "$@" "$installed"
  cd "$RELEASES" && exec find "$@" -mindepth 1 -printf '%y %m %s %T@ %p\t%l\n' ! -uid "$OWN_UID" -printf '%U %p\n' 2>/dev/null
}

# judge_trees TREE…: add those to records that are not what was installed. If all are, what was listed is of whole trees:
# note so where a reboot forgets it.
judge_trees() {
  whole=yes
  for tree; do
    app=${tree%%/*}
    IFS= read -r digest <"$STATE/$app/trees/${tree##*/}"
    [ "$(tree_digest "$RELEASES/$tree" 2>/dev/null)" = "$digest" ] || {
      whole=no
      note_record "damaged ${tree##*/}"
    }
  done
  [ "$whole" = no ] || {
    mkdir -p "${TRIAL_ENV%/*}" && { [ -d "$TRIAL_ENV" ] || mkdir -m 0700 "$TRIAL_ENV"; } &&
      echo "$listed" >"$TRIAL_ENV/.trees.new" && mv -T "$TRIAL_ENV/.trees.new" "$TRIAL_ENV/.trees"
  } 2>/dev/null || :
}
