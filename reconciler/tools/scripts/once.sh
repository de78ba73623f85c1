# A command of an app that runs once, beside its instances: a migration, a hook. systemd runs it, so that it ends and is
# remembered without us. What root does about it must not see the app's env, where LD_PRELOAD may stand. What is quoted for
# systemd reads the same in sh. The program comes by stdin, as in all that systemd-run is given here: after a daemon-reload
# systemd 252 reads `$$` and `;` in the words of a transient unit back as something else.
#
# The variables app, release, unit and stage are the script's, which sets them first.

# await_unit: wait for a run that is under way.
await_unit() {
  systemctl reset-failed "$unit" 2>/dev/null
  while systemctl is-active --quiet "$unit" || [ "$(systemctl show -P ActiveState "$unit")" = activating ]; do sleep 0.2; done
}

# run_once VARIABLE FOLDER SECONDS WORD…: run the command that this variable of the stage's env holds, and wait. FOLDER is the
# name of its folder in /run, and what follows are options of systemd-run. Returns 1, and has said why.
run_once() {
  # shellcheck disable=SC2016 # the shell that systemd starts expands it
  program='set -a && . "$CREDENTIALS_DIRECTORY/env" && set +a && eval "$'$1'" </dev/null'
  program=$(printf '%s\n' "$program" | base64 -w 0) || return 1
  folder=$2 limit=$3
  shift 3
  while IFS= read -r line; do [ -z "$line" ] || set -- "$@" -p "$line"; done <<LINES
$(once_sandbox "$stage/unit")
LINES
  run_as "$app" "$unit" "$folder" "$@" -p Type=oneshot -p "TimeoutStartSec=$limit" \
    -p "WorkingDirectory=$RELEASES/$app/releases/$(newest_copy "$app" "$release")" -p "LoadCredential=env:$stage/env" \
    -p Environment=LANG=C.UTF-8 -p Environment=RELEASE_DISTRIBUTION=none -p UMask=0077 \
    -p StandardInput=data -p "StandardInputData=$program" /bin/sh
}

# The steps of systemd before the program begins, as in decide/host_faults.py.
NEVER_BEGAN='[0-9]+/(USER|CGROUP|NETWORK|NAMESPACE|SECCOMP|CREDENTIALS|(RUNTIME|STATE|CACHE|LOGS)_DIRECTORY)'

# step_that_failed SINCE: print the step of systemd at which the program was not even begun, or nothing.
step_that_failed() {
  journalctl --no-pager -o cat --since "@$1" -u "$unit" 2>/dev/null | grep -oE "status=$NEVER_BEGAN" | head -n 1
}

# why_it_failed SECONDS MESSAGE: print how a run ended that run_once has said MESSAGE of. Returns 1 if it was not the program
# that failed.
why_it_failed() {
  case $2 in
    *"timeout was exceeded"*) echo "took longer than $1 s" ;;
    *"control process"*) echo failed ;;
    *) return 1 ;;
  esac
}
