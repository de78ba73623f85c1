# plain app lines follow(yes|no) job|no-job: crash dumps on stderr, then the journal of an app's slots, and with yes what comes,
# until the reader is gone. Of a job: what its runs said, and systemd of them.
for dump in "/var/lib/$1"/erl_crash.*.dump; do
  case ${dump##*/} in *[!a-z0-9._]*) continue ;; esac
  # The app owns the folder: a link in it could ask root about any file.
  [ ! -f "$dump" ] || [ -L "$dump" ] || echo "crashed at $(date -u -d "@$(stat -c %Y "$dump")" '+%Y-%m-%d %H:%M UTC'), see $dump" >&2
done
app=$1 lines=$2 follow=$3 job=$4
set --
[ "$follow" != yes ] || set -- --follow
if [ "$job" = - ]; then set -- -u "$app@*" "$@"; else set -- -u "$app--$job@*" -u "$app--$job.service" "$@"; fi
exec journalctl --no-pager -o short-iso -n "$lines" "$@"
