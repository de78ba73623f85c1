cat "$S/$1/history" 2>/dev/null
