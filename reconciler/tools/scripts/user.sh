# The login's own systemd runs the apps, in its name and below its home: there is no root here, and no sudo.
refuse() { printf '%s\n%s\n' "$1" "$2" >&2; exit 79; } # what is in the way, and what to do about it
case $HOME in
  /*[!A-Za-z0-9_.+@/-]* | [!/]* | '') refuse "the home of this login, '$HOME', fits into no unit file" "log in as a user with a plain one" ;;
esac
: "${XDG_RUNTIME_DIR:=/run/user/$(id -u)}"
export XDG_RUNTIME_DIR
TRIAL_UNITS=$XDG_RUNTIME_DIR/systemd/user TRIAL_ENV=$XDG_RUNTIME_DIR/reconcile # of an instance on trial, see prelude.sh

for each; do # arguments that are folders below the home
  case $each in '~/'*) each=$HOME/${each#??} ;; esac
  shift
  set -- "$@" "$each"
done

WHATEVER_USER= # there is but one
migration_sandbox() { :; } # what notes its end would be inside, too: a user's systemd lets nothing out

at_home() { # stdin: lines of a unit, for which this systemd would put its own folders
  sed "s|%h|$HOME|g; s|%t|$XDG_RUNTIME_DIR|g; s|%S|$(state_home)|g"
}

systemctl() { command systemctl --user "$@"; }
journalctl() { command journalctl --user "$@"; }

# By unit journald would not find what a process said that is gone by now: of a user's units it believes the kernel alone.
said_by() { echo "SYSLOG_IDENTIFIER=${1%.service}"; }

run_as() { # Waits without --wait, which needs a D-Bus of the user: a oneshot's start is its end. Forgotten only after its end was told.
  name=$1 unit=$2 folder=apps/$1/$3
  shift 3
  systemd-run --user --unit="$unit" -p "SyslogIdentifier=${unit%.service}" -p "StateDirectory=apps/$name" \
    -p "Environment=HOME=$(home_of "$name")" -p "RuntimeDirectory=$folder" \
    -p "Environment=RELEASE_TMP=$XDG_RUNTIME_DIR/$folder" "$@" && return
  systemctl reset-failed "$unit" 2>/dev/null
  return 1
}

home_of() { echo "$(state_home)/apps/$1"; } # app: its state

state_home() { # where this systemd puts it: since 254 below .local/state, before below .config
  systemd-path user-state-private 2>/dev/null || systemd-path user-configuration
}
