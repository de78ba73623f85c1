# The system's own systemd runs the apps, each as a user of its own. `user.sh` says the same for a login without root.

# In front of a command in a unit: not as the app's user, nor in its sandbox.
# shellcheck disable=SC2034 # only once.sh uses it
WHATEVER_USER=+

# once_sandbox UNIT-FILE: print the properties of a unit in which a command of once.sh runs, one a line.
once_sandbox() { sandbox_of "$1"; }

# said_by UNIT INVOCATION…: print the journal's fields of what the unit's processes said, in these runs if there are any.
said_by() {
  echo "_SYSTEMD_UNIT=$1"
  shift
  for run; do [ -z "$run" ] || echo "_SYSTEMD_INVOCATION_ID=$run"; done
}

# said_of INVOCATION…: print the journal's fields of what systemd itself said of these runs.
said_of() { for run; do [ -z "$run" ] || echo "INVOCATION_ID=$run"; done; }

# run_as APP UNIT FOLDER WORD…: run a program, with options of systemd-run before it, and wait: as the app's user, with
# its state and a folder in /run for now. Returns what that ends with.
run_as() {
  name=$1 unit=$2 folder=$1/$3
  shift 3
  systemd-run --wait --collect --unit="$unit" -p DynamicUser=yes -p "User=$name" -p "StateDirectory=$name" \
    -p "Environment=HOME=/var/lib/$name" -p "RuntimeDirectory=$folder" -p "Environment=RELEASE_TMP=/run/$folder" "$@"
}
