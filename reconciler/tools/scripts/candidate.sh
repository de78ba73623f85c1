# plain releases app release command-file how(pipe|pty); stdin: terminal. What `candidate_keep` has kept: a command with the env and
# the sandbox of a version that does not run yet, in its release.
# shellcheck disable=SC2034 # newest_copy reads it
RELEASES=$1
app=$2 release=$3 kept=$KEPT/$2-$4 unit=reconcile-exec-$2-$4
case $4 in '' | *[!A-Za-z0-9]*) exit 1 ;; esac
trap let_go EXIT
trap 'exit 1' HUP INT TERM PIPE
folder=$RELEASES/$app/releases/$(newest_copy "$app" "$release")
[ -d "$folder" ] || {
  echo "release $release of $app is not here any more" >&2
  exit 1
}
run_beside "$app" "$folder" "$kept/env" "$kept/unit" "/run/credentials/$unit.service/program" \
  --unit="$unit" "--$5" -p "LoadCredential=program:$kept/command"
