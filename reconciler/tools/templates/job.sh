# Runs a job of an app once, with the release and env that serve now, and waits for its end. systemd reads this text in the
# unit of the job, so no line has a backslash.
#
# What it notes: in TRIAL/APP/JOB.job that a run is under way and in which release, so that this is kept; and in
# STATE/APP/jobs/JOB.last how the last run ended.

# find_live: set live to the slot that serves: the enabled one, and of two the one that the route names. Else to nothing.
find_live() {
  live='' routed=''
  [ ! -r "$routes/$app.yml" ] || read -r _ _ _ routed _ <"$routes/$app.yml"
  for link in "$units"/*.wants/"$app@"*.service; do
    slot=${link##*"/$app@"} slot=${slot%.service}
    case $slot in worker) ;; '' | *[!0-9]*) continue ;; esac
    [ -n "$live" ] && [ "slot=$slot" != "$routed" ] || live=$slot
  done
}

# note FILE TEXT: write the text into the file. Returns 1.
note() { echo "$2" >"$1.new" && mv -T "$1.new" "$1"; }

# take_arguments: those that were left for this run are those of this run only. Returns 1.
take_arguments() {
  rm -f "$trial/$app/$job.now" && { [ ! -e "$trial/$app/$job.args" ] || mv -T "$trial/$app/$job.args" "$trial/$app/$job.now"; }
}

# ask_how_it_ended: set result and status, as a shell would say it.
ask_how_it_ended() {
  result=unknown code=0 status=1
  for line in $(systemctl "$scope" show -p Result -p ExecMainCode -p ExecMainStatus "$unit"); do
    case $line in
      Result=*) result=${line#*=} ;;
      ExecMainCode=*) code=${line#*=} ;;
      ExecMainStatus=*) status=${line#*=} ;;
    esac
  done
  case $result in success | '') result=not-started status=1 ;; esac # its start was refused, or stopped
  [ "$code" -lt 2 ] || status=$((128 + status))
  [ "$status" -gt 0 ] || status=1
}

# run_job APP JOB SCOPE RELEASES UNITS STATE TRIAL ROUTES: exit as the job does.
run_job() {
  app=$1 job=$2 scope=$3 releases=$4 units=$5 state=$6 trial=$7 routes=$8
  under_way=$(systemctl "$scope" list-units --plain --no-legend --state=active,activating,deactivating "$app--$job@*") || exit 1
  [ -z "$under_way" ] || {
    echo "a run of $job is under way" >&2
    exit 75
  }
  find_live
  began=$(date +%s) release=- result=success status=0
  [ -z "$live" ] || release=$(readlink "$releases/$app/slots/$live") || live=''
  unit=$app--$job@$live.service
  { mkdir -p "$trial/$app" && chmod 0700 "$trial" "$trial/$app" && take_arguments &&
    note "$trial/$app/$job.job" "$began ${live:--} ${release##*/}"; } || exit 1
  trap 'systemctl "$scope" stop "$unit"' TERM
  if [ -z "$live" ]; then
    echo "no version of $app serves here, so $job has nothing to run with" >&2
    result=no-release status=1
  else
    systemctl "$scope" reset-failed "$unit" 2>/dev/null
    systemctl "$scope" start "$unit" || ask_how_it_ended
    systemctl "$scope" reset-failed "$unit" 2>/dev/null # this unit says it
  fi
  [ ! -d "$state/$app/jobs" ] ||
    note "$state/$app/jobs/$job.last" "$began $(date +%s) $result $status ${release##*/}" || status=1
  rm -f "$trial/$app/$job.job" "$trial/$app/$job.now"
  exit "$status"
}
run_job "$@" </dev/null
