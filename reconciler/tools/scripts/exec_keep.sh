# plain; stdin: command. Keep it for `exec_tty`, where root alone can read it, and print the name of its file. One that was not
# used goes away after some minutes.
folder=/run/reconcile-exec
{ mkdir -p "$folder" && chmod 0700 "$folder" && find "$folder" -type f -mmin +5 -delete; } || exit 1
file=$(mktemp "$folder/XXXXXXXXXX") || exit 1
cat >"$file" || {
  rm -f "$file"
  exit 1
}
echo "${file##*/}"
