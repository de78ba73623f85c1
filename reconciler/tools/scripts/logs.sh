# The journal of an app's slots: app lines
journalctl --no-pager -o short-iso -n "$2" -u "$1@*"
