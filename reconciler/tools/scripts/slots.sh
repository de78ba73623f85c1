# The slots of an app: the files that make an instance, on trial and on disk; starting and stopping it.

# check_invocation APP SLOT INVOCATION: fail with STALE unless this very run of the slot is still the last one.
check_invocation() {
  invocation=$(invocation_of "$1" "$2") || fail 1 "systemd does not tell what runs in slot $2"
  [ "$invocation" = "$3" ] || fail "$STALE" "slot $2 was started anew meanwhile"
}

# invocation_of APP SLOT: print systemd's name for the last run of the slot, or nothing. Returns 1.
invocation_of() {
  systemctl show -P InvocationID "$1@$2.service"
}

# check_active APP SLOT: fail with STALE unless the slot is running.
check_active() {
  systemctl is-active --quiet "$1@$2.service" || fail "$STALE" "slot $2 is not running any more"
}

# check_release APP RELEASE: set copy to the name of its folder, or fail with STALE if it is not here.
check_release() {
  copy=$(newest_copy "$1" "$2")
  [ -d "$RELEASES/$1/releases/$copy" ] || fail "$STALE" "release $2 is not on this host"
}

# note_started APP SLOT INVOCATION: note what this run of the slot was started from, unless that is noted. The files of the
# slot say so until they are changed: so this comes before each change, and after each start. The process itself is not
# asked: it can change its environment. Returns 1.
note_started() {
  [ -n "$3" ] || return 0
  record=$TRIAL_ENV/$1/$2.started noted=
  [ ! -r "$record" ] || read -r noted _ <"$record"
  [ "$noted" != "$3" ] || return 0
  [ -d "$TRIAL_ENV/$1" ] || { mkdir -p "$TRIAL_ENV/$1" && chmod 0700 "$TRIAL_ENV" "$TRIAL_ENV/$1"; } || return 1
  origin=$(origin_of "$1" "$2") && echo "$3 $origin" >"$TRIAL_ENV/$1/.$2.started" &&
    mv -T "$TRIAL_ENV/$1/.$2.started" "$record"
}

# origin_of APP SLOT: print what systemd starts in the slot: the name of the release's folder, and what the env says that
# it is of. A - for what is not there or is not as it was written. Returns 1.
origin_of() {
  identity=
  if [ -e "$TRIAL_UNITS/$1@$2.service" ]; then
    folder=$(sed -n 's|^WorkingDirectory=.*/||p' "$TRIAL_UNITS/$1@$2.service") || return 1
    [ ! -e "$TRIAL_ENV/$1/$2.env" ] || identity=$(sed -n '1s/^# reconcile //p' "$TRIAL_ENV/$1/$2.env") || return 1
  else
    folder=$(readlink "$RELEASES/$1/slots/$2") folder=${folder#../releases/}
    ! is_as_written "$1" "$ENV/$1/$2.env" || ! is_as_written "$1" "$UNITS/$1@.service" ||
      identity=$(sed -n '1s/^# reconcile //p' "$ENV/$1/$2.env") || return 1
  fi
  case $folder in *[!0-9A-Za-z._+~-]*) folder= ;; esac
  echo "${folder:--} ${identity:--}"
}

# fit_pauses UNIT-FILE: give it one pause for all restarts if this systemd is older than 254, which cannot make them
# grow and warns of such lines at each reload. Returns 1.
fit_pauses() {
  version=$(systemctl --version) || return 1
  version=${version#systemd }
  version=${version%%[!0-9]*}
  [ "${version:-0}" -ge 254 ] || sed -i 's/^RestartSec=.*/RestartSec=5/; /^Restart\(Steps\|MaxDelaySec\)=/d' "$1"
}

FAILS_FAST='s/^StartLimitIntervalSec=.*/StartLimitIntervalSec=120/; s/^RestartSec=.*/RestartSec=1/'

# write_trial APP SLOT RELEASE STAGE: write the files of an instance on trial, where a reboot forgets them. After
# check_invocation, as all that changes the files of a slot. Returns 1.
write_trial() {
  check_release "$1" "$3"
  note_started "$1" "$2" "$invocation" && mkdir -p "$TRIAL_ENV/$1" "$TRIAL_UNITS" &&
    chmod 0700 "$TRIAL_ENV" "$TRIAL_ENV/$1" && fit_pauses "$4/unit" &&
    sed "s|^\(EnvironmentFile=\).*/%i.env|\1$TRIAL_ENV/$1/%i.env|; s|/$1/slots/%i|/$1/releases/$copy|; $FAILS_FAST" \
      "$4/unit" >"$TRIAL_UNITS/.$1@$2.new" &&
    chmod 0600 "$4/env" && cp "$4/unit" "$TRIAL_ENV/$1/$2.unit" && cp -p "$4/env" "$TRIAL_ENV/$1/.$2.new" &&
    mv -T "$TRIAL_ENV/$1/.$2.new" "$TRIAL_ENV/$1/$2.env" && mv -T "$TRIAL_UNITS/.$1@$2.new" "$TRIAL_UNITS/$1@$2.service" &&
    write_shared_files "$1" "$copy" "$4" && rm -rf "${4:?}"
}

# write_shared_files APP FOLDER-NAME STAGE: write what belongs to the whole host and this app needs: Traefik's certificate,
# the port mapper. After the unit: a port mapper that no unit names is taken away. Returns 1 or fails.
write_shared_files() {
  if [ -e "$3/certificate" ]; then write_certificate "$1" "$3" || return 1; fi
  if [ -e "$3/epmd" ]; then put_epmd "$1" "$3" "$RELEASES/$1/releases/$2" || exit; fi
}

# release_on_trial APP SLOT: print the release that is on trial in the slot, or nothing. Returns 1.
release_on_trial() {
  [ ! -e "$TRIAL_ENV/$1/$2.env" ] || sed -n '1s|^# reconcile \([^/]*\)/.*|\1|p' "$TRIAL_ENV/$1/$2.env"
}

# accept APP SLOT: an instance on trial is proven. Write its files to disk, so that a reboot brings it back, or fail.
accept() {
  if [ ! -e "$TRIAL_ENV/$1/$2.env" ]; then
    end_trial "$1" "$2" # of which only a part was taken away
    return
  fi
  release=$(release_on_trial "$1" "$2") && [ -n "$release" ] || fail 1 "the env file of slot $2 does not name its release"
  stage=${ENV:?}/${1:?}/.stage
  {
    rm -rf "${stage:?}" && mkdir -m 0700 "$stage" &&
      cp "$TRIAL_ENV/$1/$2.unit" "$stage/unit" && cp "$TRIAL_ENV/$1/$2.env" "$stage/env" &&
      write_slot "$1" "$2" "$release" "$stage"
  } || fail "$NO_ROOM" "cannot write the files of slot $2"
  end_trial "$1" "$2"
}

# end_trial APP SLOT: take the files of the trial away, or fail. In this order, so that no unit is left without its env.
end_trial() {
  [ -e "$TRIAL_ENV/$1/$2.env" ] || [ -e "$TRIAL_ENV/$1/$2.unit" ] || [ -e "$TRIAL_UNITS/$1@$2.service" ] || return 0
  {
    rm -f "$TRIAL_UNITS/$1@$2.service" && systemctl daemon-reload && rm -f "$TRIAL_ENV/$1/$2.env" &&
      rm -f "$TRIAL_ENV/$1/$2.unit"
  } || fail 1 "cannot end the trial of slot $2"
}

# write_slot APP SLOT RELEASE STAGE: write the files of a slot to disk: the unit's template, the env, the link to the
# release. The env goes last, since it says what runs: a cut in between never passes the old release off as the new.
# Returns 1, and then it may have written some of them.
write_slot() {
  check_release "$1" "$3"
  note_started "$1" "$2" "$invocation" && fit_pauses "$4/unit" && publish "$1" "$4/unit" "$UNITS/$1@.service" 0644 &&
    link_slot "$1" "$2" "$copy" && publish "$1" "$4/env" "$ENV/$1/$2.env" 0600 &&
    write_shared_files "$1" "$copy" "$4" && rm -rf "${4:?}"
}

# link_slot APP SLOT FOLDER-NAME: point the slot's link at the release, on disk before anything names the slot: the releases
# may be on a file system of their own. Returns 1.
link_slot() {
  rm -f "$RELEASES/$1/slots/.$2.new" && ln -s "../releases/$3" "$RELEASES/$1/slots/.$2.new" &&
    mv -T "$RELEASES/$1/slots/.$2.new" "$RELEASES/$1/slots/$2" && sync -f "$RELEASES/$1/slots"
}

# set_age FOLDER WORD…: give the folder of a release the time that the words of touch say, on disk: by it prune tells the way
# back from what may go. Returns 1.
set_age() {
  aged=$1
  shift
  touch "$@" "$aged" && sync "$aged"
}

# note_served APP SLOT: the slot serves now: its release counts as the newest of all. Returns 1.
note_served() {
  release=$(readlink "$RELEASES/$1/slots/$2") && set_age "$RELEASES/$1/releases/${release##*/}"
}

# is_needed APP FOLDER-NAME: true if a slot or a job runs the release in it, or a slot would, or if that cannot be read.
is_needed() {
  ! is_linked "$1" "$2" || return 0
  ! runs_with "$1" "$2" || return 0
  of=$(release_of "$2")
  for slot in "$TRIAL_ENV/$1"/*.env; do
    slot=${slot##*/} slot=${slot%.env}
    on_trial=$(release_on_trial "$1" "$slot") && [ "$on_trial" != "$of" ] || return 0
  done
  return 1
}

# age_release APP RELEASE: a release that failed here, and that no slot needs, is the first to be pruned. Returns 1.
age_release() {
  copy=$(newest_copy "$1" "$2")
  ! is_needed "$1" "$copy" && [ -d "$RELEASES/$1/releases/$copy" ] || return 0
  set_age "$RELEASES/$1/releases/$copy" -d @1
}

# enable_slot APP SLOT: start it at the next boot. systemd reads that from disk: a reload would take 0.2 s. Returns 1, also if
# systemctl says that it is done and the link is not there.
enable_slot() {
  systemctl enable --quiet --no-reload "$1@$2.service" || return 1
  for link in "$UNITS"/*.wants/"$1@$2.service"; do [ ! -L "$link" ] || return 0; done
  return 1
}

# disable_slot APP SLOT: do not start it at the next boot. Where its template is gone, systemctl finds nothing to disable, and
# may say that it is done. Returns 1.
disable_slot() {
  systemctl disable --quiet "$1@$2.service" 2>/dev/null
  for link in "$UNITS"/*.wants/"$1@$2.service"; do [ ! -L "$link" ] || rm -f "$link" || return 1; done
}

# started_at APP SLOT: print when its files were written, in seconds: that is, when it was started.
started_at() {
  stat -c %Y "$TRIAL_ENV/$1/$2.env" 2>/dev/null || stat -c %Y "$RELEASES/$1/slots/$2" 2>/dev/null || echo 0
}

# runs_on_trial APP SLOT: print the first run from the slot's files as they are, and the last one if systemd has started it
# again: not one from other files, which the slot had before.
runs_on_trial() {
  last=$(invocation_of "$1" "$2") || return 0
  { read -r first origin <"$TRIAL_ENV/$1/$2.started" && [ "$origin" = "$(origin_of "$1" "$2")" ]; } 2>/dev/null || first=
  echo "$first" "$last"
}

# start_slot start|restart APP SLOT INVOCATION: start the slot. If systemd tried and the instance failed, its log is
# printed, and the look tells the rest. Fails if there was no new run after INVOCATION.
start_slot() {
  systemctl reset-failed "$2@$3.service" 2>/dev/null
  if words=$(systemctl "$1" "$2@$3.service" 2>&1); then
    { invocation=$(invocation_of "$2" "$3") && note_started "$2" "$3" "$invocation"; } ||
      fail "$NO_ROOM" "cannot note below $TRIAL_ENV what slot $3 was started from"
    return
  fi
  invocation=$(invocation_of "$2" "$3") || invocation=
  [ "$invocation" = "$4" ] || note_started "$2" "$3" "$invocation" # a later run may have less to say
  print_log "$2@$3.service" "$(started_at "$2" "$3")" "$invocation"
  [ -n "$invocation" ] && [ "$invocation" != "$4" ] ||
    fail 1 "systemd did not start slot $3: $(printf '%s\n' "$words" | head -n 1 | cut -b 1-300)"
}

# print_log UNIT SECONDS INVOCATION…: print the part "log": what its processes said since then, in these runs if there are
# any, or else what systemd said of them. With one port, the run before has the same unit, and says good-bye since then.
print_log() {
  unit=$1 since=$2
  shift 2
  journalctl --sync 2>/dev/null
  # With --since systemd 252 takes -n for the first lines, not the last.
  # shellcheck disable=SC2046 # a word for each field, here and below
  lines=$(journalctl --no-pager -o cat --since "@$since" $(said_by "$unit" "$@") 2>/dev/null | tail -n 15)
  # shellcheck disable=SC2046
  [ -n "$lines" ] || lines=$(said_since_first "$unit" "$@" | tail -n 15)
  # shellcheck disable=SC2046
  [ -n "$lines" ] || lines=$(journalctl --no-pager -o cat --since "@$since" -u "$unit" $(said_of "$@") 2>/dev/null | tail -n 15)
  [ -n "$lines" ] || journalctl -n 0 >/dev/null 2>&1 || lines='its journal cannot be read by this login'
  case $lines in *'at step USER spawning'* | *'at step NAMESPACE spawning'*)
    lines="$lines
(a host that refuses user namespaces can do without: sandbox: {shared_users: true})"
    ;;
  esac
  part log - "$(printf '%s\n' "$lines" | cut -b 1-4000)"
}

# said_since_first UNIT INVOCATION…: print what its processes said since the first of these runs began, in any run: a journal on a
# busy host reads the last words of a run when the next one has begun, and notes them as said by that.
said_since_first() {
  began=$([ -z "$2" ] || journalctl --no-pager -o short-unix "$(said_of "$2")" 2>/dev/null | head -n 1)
  # shellcheck disable=SC2046
  [ -z "$began" ] || journalctl --no-pager -o cat --since "@${began%% *}" $(said_by "$1" '') 2>/dev/null
}

# clear_slot APP SLOT: the slot is not enabled, does not run and has no files any more. Or it fails. What the route says is on
# disk first, whichever script wrote it and failed after that: else a power cut brings back a route to a slot that is gone. The
# link goes last, after the env is gone on disk: while it is there, a look shows that the slot is to be cleared.
clear_slot() {
  disable_slot "$1" "$2" || fail 1 "cannot disable slot $2"
  stop_unit "$1@$2.service" || fail 1 "cannot stop slot $2"
  systemctl reset-failed "$1@$2.service" 2>/dev/null
  end_trial "$1" "$2"
  {
    { [ ! -d "$ROUTES" ] || sync "$ROUTES"; } && rm -f "$ENV/$1/$2.env" && forget "$1" "$ENV/$1/$2.env" &&
      rm -f "$RELEASES/$1/slots/$2" "$TRIAL_ENV/$1/$2.started" &&
      { [ ! -d "$RELEASES/$1/slots" ] || sync "$RELEASES/$1/slots"; }
  } ||
    fail "$NO_ROOM" "cannot take away the files of slot $2"
}

# sweep_slots APP: take away the half of a slot's files that a power cut left or brought back: an env of ours without a link, or
# a link without an env, of a slot that does not run and would not at boot. A look takes such a slot for empty. Fails.
sweep_slots() {
  for half in "$ENV/$1"/*.env; do
    half_slot=${half##*/} half_slot=${half_slot%.env}
    [ ! -e "$half" ] || [ -L "$RELEASES/$1/slots/$half_slot" ] || is_kept "$1" "$half_slot" || ! is_recorded "$1" "$half" ||
      { rm -f "$half" && forget "$1" "$half"; } || fail "$NO_ROOM" "cannot take $half away"
  done
  for half in "$RELEASES/$1/slots"/*; do
    half_slot=${half##*/}
    [ ! -L "$half" ] || [ -e "$ENV/$1/$half_slot.env" ] || is_kept "$1" "$half_slot" ||
      { forget "$1" "$ENV/$1/$half_slot.env" && rm -f "$half"; } || fail "$NO_ROOM" "cannot take $half away"
  done
}

# is_kept APP SLOT: true if the slot runs, is on trial, or would run at boot, or if that is not known.
is_kept() {
  [ ! -e "$TRIAL_ENV/$1/$2.env" ] && [ ! -e "$TRIAL_UNITS/$1@$2.service" ] || return 0
  for link in "$UNITS"/*.wants/"$1@$2.service"; do [ ! -L "$link" ] || return 0; done
  ! has_ended "$1@$2.service"
}

# stop_unit UNIT: stop it. Returns 1. That may take longer than a lease lasts, and a script that renews the lease by itself keeps
# the host for a controller that is gone: it fails with STOPPING after 20 s, and the controller sends it again.
stop_unit() {
  systemctl stop "$1" >/dev/null 2>&1 9>&- &
  stopping=$! waits=0
  while kill -0 "$stopping" 2>/dev/null; do
    if [ $((waits += 1)) -le 40 ]; then sleep 0.05; else sleep 0.3; fi
    [ "$waits" -lt 100 ] || {
      kill "$stopping"
      fail "$STOPPING" "$1 has not ended yet"
    }
  done
  wait "$stopping" || has_ended "$1"
}

# has_ended UNIT: true if nothing of it runs, as of one that systemd does not know.
has_ended() {
  state=$(systemctl show -P ActiveState "$1") || return 1
  case $state in inactive | failed) ;; *) return 1 ;; esac
}

# is_listening HEX-PORT: true if a program listens on the port, which has four hexadecimal digits.
is_listening() {
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "^ *[0-9]*: [0-9A-F]*:$1 [0-9A-F]*:0000 0A"
}

# step_aside UNIT PORT: the unit lets go of its ports at once, and ends when its open requests have. Returns 1.
step_aside() {
  systemctl stop --no-block "$1" || return 1
  port=$(printf '%04X' "$2") deadline=$(($(uptime_milliseconds) + 5000))
  while is_listening "$port" && [ "$(uptime_milliseconds)" -lt "$deadline" ]; do sleep 0.02; done
}
