cat "$1/$2/history" 2>/dev/null
