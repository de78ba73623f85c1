# The login's own systemd runs the apps, in its name and below its home: there is no root here, and no sudo.

# refuse WHAT NEXT-STEP: print what is in the way and what to do about it, and exit.
refuse() {
  printf '%s\n%s\n' "$1" "$2" >&2
  exit 79
}

case $HOME in
  /*[!A-Za-z0-9_.+@/-]* | [!/]* | '')
    refuse "the home of this login, '$HOME', fits into no unit file" "log in as a user with a plain one"
    ;;
esac
: "${XDG_RUNTIME_DIR:=/run/user/$(id -u)}"
export XDG_RUNTIME_DIR
# Of an instance on trial, see prelude.sh.
# shellcheck disable=SC2034 # a script that stands alone does not use them
TRIAL_UNITS=$XDG_RUNTIME_DIR/systemd/user TRIAL_ENV=$XDG_RUNTIME_DIR/reconcile

# Arguments that are folders below the home.
for word; do
  # shellcheck disable=SC2088 # this tilde was never expanded: it is what the fleet file says
  case $word in '~/'*) word=$HOME/${word#??} ;; esac
  shift
  set -- "$@" "$word"
done

# There is but one user.
# shellcheck disable=SC2034 # only once.sh uses it
WHATEVER_USER=

# once_sandbox UNIT-FILE: print nothing. What notes its end would be inside, too: a user's systemd lets nothing out.
# shellcheck disable=SC2329 # not every script needs it, here and below
once_sandbox() { :; }

# at_home: print the lines of a unit on stdin with the folders that this systemd would put into them.
# shellcheck disable=SC2329
at_home() {
  sed "s|%h|$HOME|g; s|%t|$XDG_RUNTIME_DIR|g; s|%S|$(state_home)|g"
}

# systemctl, journalctl WORD…: of this login's own systemd.
systemctl() { command systemctl --user "$@"; }
# shellcheck disable=SC2329
journalctl() { command journalctl --user "$@"; }

# said_by UNIT INVOCATION…: print the journal's field of what the unit's processes said, and, with runs, since when the first of
# them began. By unit or run journald would not find what a process said that is gone by now: of a user's units it
# believes the kernel alone.
# shellcheck disable=SC2329
said_by() {
  echo "SYSLOG_IDENTIFIER=${1%.service}"
  [ -n "$2" ] || return 0
  began=$(journalctl --no-pager -o short-unix "USER_INVOCATION_ID=$2" 2>/dev/null | head -n 1)
  [ -z "$began" ] || echo "--since=@${began%% *}"
}

# said_of INVOCATION…: print the journal's fields of what systemd itself said of these runs.
# shellcheck disable=SC2329
said_of() { for run; do [ -z "$run" ] || echo "USER_INVOCATION_ID=$run"; done; }

# run_as APP UNIT FOLDER WORD…: run a program, with options of systemd-run before it, and wait: with the app's state and
# a folder in /run for now. Returns 1. Without --wait, which needs a D-Bus of the user: a oneshot's start is its end. A
# failed unit is reset only after its end was printed.
# shellcheck disable=SC2329
run_as() {
  name=$1 unit=$2 folder=apps/$1/$3
  shift 3
  systemd-run --user --unit="$unit" -p "SyslogIdentifier=${unit%.service}" -p "StateDirectory=apps/$name" \
    -p "Environment=HOME=$(home_of "$name")" -p "RuntimeDirectory=$folder" \
    -p "Environment=RELEASE_TMP=$XDG_RUNTIME_DIR/$folder" "$@" && return
  systemctl reset-failed "$unit" 2>/dev/null
  return 1
}

# home_of APP: print the folder of its state.
# shellcheck disable=SC2329
home_of() { echo "$(state_home)/apps/$1"; }

# state_home: print where this systemd puts state: since 254 below .local/state, before below .config.
# shellcheck disable=SC2329
state_home() {
  systemd-path user-state-private 2>/dev/null || systemd-path user-configuration
}
