# plain app lines follow(yes|no): the journal of an app's slots, and with yes what comes, until the reader is gone
set -- "$@" $([ "$3" = yes ] && echo --follow)
exec journalctl --no-pager -o short-iso -n "$2" -u "$1@*" $4
