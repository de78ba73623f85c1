# plain state any-app: what was done to it, oldest first, also when it is gone
cat "$1/.history/$2" 2>/dev/null
