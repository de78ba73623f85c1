# plain state app: what was done to it, oldest first
cat "$1/$2/history" 2>/dev/null
