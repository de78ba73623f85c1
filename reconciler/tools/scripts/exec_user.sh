# releases env app slot command: with the env and the folder of the slot. The env file is quoted as a shell would quote it.
[ -r "$2/$3/$4.env" ] || { echo "slot $4 of $3 has no env file" >&2; exit 1; }
mkdir -p -m 0700 "$XDG_RUNTIME_DIR/apps/$3/exec"
exec env -i PATH="$PATH" USER="$(id -un)" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" HOME="$(home_of "$3")" LANG=C.UTF-8 \
  RELEASE_TMP="$XDG_RUNTIME_DIR/apps/$3/exec" RELEASE_DISTRIBUTION=none RECONCILE_EXEC="$5" \
  sh -c 'set -a; . "$1" && cd "$2" && eval "exec $RECONCILE_EXEC"' sh "$2/$3/$4.env" "$1/$3/slots/$4"
