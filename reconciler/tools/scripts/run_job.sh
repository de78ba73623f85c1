# plain units state app job seconds; stdin: command. The arguments of the job, quoted for a shell. Run it now, print what it says
# as it comes, and exit as it does. The last line on stderr says when it began and ended, and how: "ran BEGAN ENDED RESULT STATUS
# RELEASE"; without it there was no run. It goes on if nobody is there to read any more.
UNITS=$1 STATE=$2 app=$3 job=$4 seconds=$5 starter=$3--$4.service
user=yes
[ -n "$TRIAL_ENV" ] || {
  user=no
  case $UNITS in /etc/systemd/system) TRIAL_ENV=/run/reconcile ;; *) TRIAL_ENV=$STATE/.run ;; esac
}
own=$TRIAL_ENV/$app/$job

# give_up REASON: print the reason and exit.
give_up() {
  echo "$1" >&2
  exit 1
}

# look_at UNIT: set state to what systemd says of it.
look_at() {
  state=$(systemctl show -P ActiveState "$1") || give_up "systemd does not tell what $1 does"
}

# print_more WORD…: print what the job has said since the last time, with words of journalctl before what selects it.
print_more() {
  for link in "$UNITS"/*.wants/"$app@"*.service; do
    slot=${link##*"/$app@"} slot=${slot%.service}
    case $slot in worker) ;; '' | *[!0-9]*) continue ;; esac
    if [ $user = yes ]; then set -- "$@" "SYSLOG_IDENTIFIER=$app--$job@$slot"; else set -- "$@" "_SYSTEMD_UNIT=$app--$job@$slot.service"; fi
  done
  # Not from a cursor of another unit: systemd 252 then passes over the first line.
  [ -e "$own.cursor" ] || set -- "$@" --since "@$began"
  journalctl -q --no-pager -o cat --cursor-file="$own.cursor" "$@" 2>/dev/null
}

# A unit of that name which somebody else wrote is no job.
{ [ -e "$UNITS/$starter" ] && grep -qF "  $UNITS/$starter" "$STATE/$app/inventory" 2>/dev/null; } ||
  give_up "there is no job $job of $app on this host: it comes with the next pass that ends well"
{ mkdir -p "$TRIAL_ENV/$app" && chmod 0700 "$TRIAL_ENV" "$TRIAL_ENV/$app" && exec 9>>"$own.lock"; } ||
  give_up "cannot write below $TRIAL_ENV"
flock -n 9 || give_up "another reconcile runs $job just now"
look_at "$starter"
case $state in
  inactive | failed) ;;
  *)
    since=
    [ ! -r "$own.job" ] || read -r since _ <"$own.job"
    give_up "a run is under way${since:+, since $(date -u -d "@$since" '+%Y-%m-%d %H:%M:%S UTC')}"
    ;;
esac
rm -f "$own.cursor"
began=$(date +%s.%6N)
words=$(timeout 60 cat | sed 's/[\\"$`]/\\&/g') || give_up "the arguments did not come within a minute"
{ (umask 077 && printf 'RECONCILE_ARGUMENTS="%s"\n' "$words" >"$own.args.new") && mv -T "$own.args.new" "$own.args"; } ||
  give_up "cannot write below $TRIAL_ENV"
systemctl reset-failed "$starter" 2>/dev/null
before=$(cat "$STATE/$app/jobs/$job.last" 2>/dev/null)
systemctl start --no-block "$starter" || give_up "systemd does not start $starter"
tries=0
while [ -e "$own.args" ]; do # until this very run has them
  sleep 0.05
  [ $((tries += 1)) -lt 400 ] || break
done
[ ! -e "$own.args" ] || {
  rm -f "$own.args"
  give_up "systemd did not run $job: journalctl -u $starter on the host says why"
}
left=$((seconds * 4))
while :; do
  look_at "$starter"
  case $state in inactive | failed) break ;; esac
  print_more
  [ $((left -= 1)) -gt 0 ] || give_up "it still runs: reconcile jobs $app shows how it ends"
  sleep 0.25
done
journalctl --sync 2>/dev/null
print_more
rm -f "$own.cursor"
last=$(cat "$STATE/$app/jobs/$job.last" 2>/dev/null)
[ -n "$last" ] && [ "$last" != "$before" ] || give_up "how $job ended was not noted: journalctl -u $starter on the host"
echo "ran $last" >&2
# shellcheck disable=SC2086 # its words
set -- $last
exit "$4"
