# The sandbox of a slot for another program of the same app: what the slot's unit says from `# The sandbox` on.
sandbox_of() { # unit-file: a property a line, as systemd-run takes them
  sed -n '/^# The sandbox/,/^\[Install]/{/^[A-Z][A-Za-z]*=/p}' "$1"
}

unit_of() { # units app slot: the file that says how the instance in the slot runs, one of its own while it is on trial
  on_trial=${TRIAL_UNITS:-/run/systemd/system}/$2@$3.service
  [ -e "$on_trial" ] && echo "$on_trial" || echo "$1/$2@.service"
}
