# The units of an app's jobs, and what is remembered of each: see templates/job.sh.

# job_files_of APP: set job_files to the names of the units of its jobs, by its inventory.
job_files_of() {
  job_files=
  [ -r "$STATE/$1/inventory" ] || return 0
  while read -r _ path; do
    case $path in "$UNITS/$1--"*) job_files="$job_files ${path##*/}" ;; esac
  done <"$STATE/$1/inventory"
}

# drop_jobs APP NAMES: take away the units of its jobs that are not among these lines. Or it fails.
drop_jobs() {
  job_files_of "$1"
  for name in $job_files; do
    case "
$2
" in *"
$name
"*) continue ;; esac
    case $name in *.timer) stop_timer "$name" ;; esac
    { rm -f "$UNITS/$name" "$UNITS/.$name.new" && forget "$1" "$UNITS/$name"; } ||
      fail "$NO_ROOM" "cannot take away $UNITS/$name"
    job=${name#"$1--"} job=${job%@.service}
    case $name in *@.service) ;; *) continue ;; esac
    rm -f "$STATE/$1/jobs/$job".last* "$STATE/$1/jobs/$job".suspended* "$TRIAL_ENV/$1/$job".args* ||
      fail "$NO_ROOM" "cannot write below $STATE"
  done
}

# stop_timer NAME: it does not run, and will not after a reboot; and how long it did not is forgotten. Or it fails.
stop_timer() {
  systemctl stop "$1" 2>/dev/null || has_ended "$1" || fail 1 "cannot stop $1"
  systemctl disable --quiet --no-reload "$1" 2>/dev/null || rm -f "$UNITS"/*.wants/"$1" || fail 1 "cannot disable $1"
  systemctl clean --what=state "$1" 2>/dev/null || : # older than 243, or never run
}

# set_timer APP NAME: it runs, also after a reboot, unless its job is suspended. Or it fails.
set_timer() {
  job=${2#"$1--"}
  if is_suspended "$STATE/$1/jobs/${job%.timer}.suspended"; then
    stop_timer "$2"
  else
    systemctl enable --quiet --no-reload "$2" || fail 1 "cannot enable $2"
    systemctl start "$2" || fail 1 "cannot start $2"
  fi
}

# write_suspension FILE SECONDS: leave an app or a job alone for so long, and with 0 until it is resumed. Stdin is the reason.
# Returns 1.
write_suspension() {
  [ "$2" -le 3155760000 ] || fail 77 "nothing is suspended for more than 100 years"
  seconds=$(date +%s) && reason=$(one_line) || return 1
  until=$((seconds + $2))
  [ "$2" != 0 ] || until=0
  echo "$until $HOLDER $reason" >"$1.new" && mv -T "$1.new" "$1"
}

# is_suspended FILE: true if it is there, and the time that it names has not come.
is_suspended() {
  [ -r "$1" ] && read -r until _ <"$1" || return 1
  case $until in '' | *[!0-9]*) return 1 ;; esac
  [ "$until" = 0 ] || [ "$until" -gt "$(date +%s)" ]
}

# runs_with APP FOLDER-NAME: true if a run of a job is under way with the release in it, or if that cannot be read.
runs_with() {
  for note in "$TRIAL_ENV/$1"/*.job; do
    [ -e "$note" ] || continue
    read -r _ slot release <"$note" || return 0
    job=${note##*/}
    [ "$release" != "$2" ] || has_ended "$1--${job%.job}.service" || return 0
  done
  return 1
}

# end_runs APP: end the runs of its jobs that are under way. Or it fails.
end_runs() {
  for note in "$TRIAL_ENV/$1"/*.job; do
    [ -e "$note" ] || continue
    job=${note##*/}
    stop_unit "$1--${job%.job}.service" || fail 1 "cannot end the run of ${job%.job}"
  done
}
