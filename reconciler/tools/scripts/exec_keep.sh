# plain; stdin: command. Keep it for `exec_tty`, and print the name of its file.
keep_aside file '' || exit 1
cat >"$kept" || {
  let_go
  exit 1
}
echo "${kept##*/}"
