# The system's own systemd runs the apps, each as a user of its own. `user.sh` says the same for a login without root.
WHATEVER_USER=+ # in front of a command in a unit: not as the app's user, nor in its sandbox
migration_sandbox() { sandbox_of "$1"; } # unit-file
said_by() { echo "_SYSTEMD_UNIT=$1"; } # unit: the journal's field of what it said itself

run_as() { # app unit folder word …: systemd-run, and wait; with the user of the app, its state and a folder in /run for now
  name=$1 unit=$2 folder=$1/$3
  shift 3
  systemd-run --wait --collect --unit="$unit" -p DynamicUser=yes -p "User=$name" -p "StateDirectory=$name" \
    -p "Environment=HOME=/var/lib/$name" -p "RuntimeDirectory=$folder" -p "Environment=RELEASE_TMP=/run/$folder" "$@"
}
