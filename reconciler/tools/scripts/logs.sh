# plain app lines follow(yes|no): crash dumps on stderr, then the journal of an app's slots, and with yes what comes, until the
# reader is gone
for dump in "/var/lib/$1"/erl_crash.*.dump; do
  case ${dump##*/} in *[!a-z0-9._]*) continue ;; esac
  # The app owns the folder: a link in it could ask root about any file.
  [ ! -f "$dump" ] || [ -L "$dump" ] || echo "crashed at $(date -u -d "@$(stat -c %Y "$dump")" '+%Y-%m-%d %H:%M UTC'), see $dump" >&2
done
app=$1 lines=$2 follow=$3
set --
[ "$follow" != yes ] || set -- --follow
exec journalctl --no-pager -o short-iso -n "$lines" -u "$app@*" "$@"
