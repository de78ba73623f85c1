# The sandbox of a slot for another program of the same app: what the slot's unit says from `# The sandbox` on.

# sandbox_of UNIT-FILE: print its properties as systemd-run takes them, one a line.
sandbox_of() {
  sed -n '/^# The sandbox/,/^\[Install]/{/^[A-Z][A-Za-z]*=/p}' "$1"
}

# unit_of UNITS APP SLOT: print the file that says how the instance in the slot runs: one of its own while it is on trial.
unit_of() {
  on_trial=${TRIAL_UNITS:-/run/systemd/system}/$2@$3.service
  [ -e "$on_trial" ] || on_trial=$1/$2@.service
  echo "$on_trial"
}
