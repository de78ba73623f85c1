# plain app; stdin: tar of env, unit, command. Keep them for `candidate`, and print the name of their folder, without the app's.
keep_aside folder "$1-" || exit 1
tar -xf - -C "$kept" --no-same-owner && chmod -R go= "$kept" && [ -e "$kept/command" ] || {
  let_go
  exit 1
}
echo "${kept##*-}"
