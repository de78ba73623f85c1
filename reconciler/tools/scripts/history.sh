cat "$1/.history/$2" 2>/dev/null
