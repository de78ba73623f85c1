# change app; stdin: job files. The units of all jobs of the app, and none of former ones; their timers run, unless their job is
# suspended. A run that is under way goes on.
change() {
  app=$1
  receive
  begin_change "$app"
  stage=$(unpack "$app") || fail "$NO_ROOM" "cannot write below $ENV"
  names=$(cd "$stage" && for name in *; do [ ! -e "$name" ] || echo "$name"; done)
  # shellcheck disable=SC2086 # several names
  check_job_files "$app" $names
  # Until all is done the look says that it is not: systemd may not have read what is on disk.
  { mkdir -p "$STATE/$app/jobs" && touch "$STATE/$app/jobs/unfinished" && sync "$STATE/$app/jobs"; } ||
    fail "$NO_ROOM" "cannot write below $STATE"
  drop_jobs "$app" "$names"
  for name in $names; do
    publish "$app" "$stage/$name" "$UNITS/$name" 0644 || fail "$NO_ROOM" "cannot write $UNITS/$name"
  done
  { sync "$UNITS" && rm -rf "${stage:?}"; } || fail "$NO_ROOM" "cannot write below $UNITS and $ENV"
  systemctl daemon-reload || fail 1 "systemd cannot reload its units"
  for name in $names; do
    case $name in *.timer) set_timer "$app" "$name" ;; esac
  done
  { rm -f "$STATE/$app/jobs/unfinished" && sync "$STATE/$app/jobs"; } || fail "$NO_ROOM" "cannot write below $STATE"
}

# check_job_files APP NAME…: fail if one of these is no name of a job's unit, or the unit of another program.
check_job_files() {
  app=$1
  shift
  for name; do
    job=${name#"$app--"} job=${job%@.service} job=${job%.service} job=${job%.timer}
    case $name in "$app--$job.service" | "$app--$job@.service" | "$app--$job.timer") ;; *) job= ;; esac
    is_app_name "$job" || fail 77 "what is to be scheduled has a file that is no unit of a job"
    for folder in "$UNITS" /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
      if [ -e "$folder/$name" ] || [ -L "$folder/$name" ]; then
        { [ "$folder" = "$UNITS" ] && is_recorded "$app" "$UNITS/$name"; } ||
          fail 1 "$folder/$name is there and not reconcile's: give the job another name"
      fi
    done
  done
}
