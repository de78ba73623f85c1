# Every remote script begins with this text. The scripts are constant: everything that varies is an argument (names and
# paths that were checked against a strict pattern) or stdin. They need a POSIX sh and its utilities, tar, GNU coreutils
# and find, and util-linux.
#
# The arguments, and the folders that every script knows by these names (defaults of the system scope in brackets):
#
#   RELEASES     an app's releases, and its slots: links to a release [/srv]
#   ENV          an app's env files, one a slot, and what only root may read [/etc/reconcile]
#   UNITS        systemd's unit files [/etc/systemd/system]
#   STATE        what is remembered of each app: inventory, quarantine, owner, lock …; and the lease [/var/lib/reconcile]
#   ROUTES       the folder that Traefik watches: one route file an app [/etc/traefik/dynamic]
#   TRIAL_ENV    the env files of instances on trial; a reboot empties it [/run/reconcile]
#   TRIAL_UNITS  the unit files of instances on trial, likewise [/run/systemd/system]
#   TOKEN        the controller that runs this script; the lease names it
#   SEEN         the generation of the lease at the controller's last look
#   HOLDER       the controller's name for people
#   OWNER        the desired state's repository, or -
#   DEAD         the token of a controller that is known to be gone, or -
#   COMMIT       the desired state's commit, or -
#
# Every app has a lock in STATE, open as 9; the lease has one for the moment it is written, open as 8.
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/sbin:/sbin; export PATH
umask 022
RELEASES=$1 ENV=$2 UNITS=$3 STATE=$4 ROUTES=$5 TOKEN=$6 SEEN=$7 HOLDER=$8 OWNER=$9
shift 9
DEAD=$1 COMMIT=$2
shift 2

fail() { echo "$2" >&2; exit "$1"; }
STALE=75  # the host is no longer as the controller saw it: nothing was done, look again
LOCKED=76 # another controller has the host, or had it since this one looked
LEASE_SECONDS=30

read_lease() { # sets generation token expires boot holder; the clock is the host's own and never goes back
  generation=0 token=- expires=0 boot=- holder=-
  [ ! -r "$STATE/lease" ] || read -r generation token expires boot holder <"$STATE/lease"
  case $generation in '' | *[!0-9]*) generation=0 ;; esac # a file that was cut off, or filled by somebody else
  case $expires in '' | *[!0-9]*) expires=0 ;; esac
  token=${token:--} holder=${holder:--}
  read -r now rest </proc/uptime
  read -r this_boot </proc/sys/kernel/random/boot_id
  now=${now%.*}
  [ "$boot" = "$this_boot" ] || expires=0
  left=$((expires > now ? expires - now : 0))
  [ "$token" != - ] || left=0
}

write_lease() { # token seconds holder
  echo "$generation $1 $((now + $2)) $this_boot $3" >"$STATE/lease.new" &&
    mv -T "$STATE/lease.new" "$STATE/lease"
}

apart() { # folder: is every name in it known below STATE? Or, of STATE itself, are there no names but ours?
  for each in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    case $each in */lost+found) continue ;; esac
    [ ! -e "$each" ] && [ ! -L "$each" ] || { [ "$1" != "$STATE" ] && [ -d "$STATE/${each##*/}" ]; } || return 1
  done
}

own_folders() { # state and env are closed to all others: never a folder that something else fills, unless it has our name
  case $STATE in
    /var/lib/reconcile | */.local/state/reconcile) ;;
    *) [ -e "$STATE/lease.lock" ] || apart "$STATE" || fail 1 "paths.state: $STATE is there and not reconcile's: name one that is empty or not there" ;;
  esac
  case $ENV in /etc/reconcile | */.config/reconcile) return ;; esac
  apart "$ENV" || fail 1 "paths.env: $ENV is there and not reconcile's: name one that is empty or not there"
}

take_lease() { # ours, free, or run out; and nobody else had it since we looked: a controller that slept changes nothing
  own_folders
  mkdir -p "$STATE" && exec 8>>"$STATE/lease.lock" && flock -w 30 8 || fail $LOCKED "the lease of this host cannot be had"
  read_lease
  if [ "$token" != "$TOKEN" ]; then
    [ "$left" = 0 ] || [ "$token" = "$DEAD" ] || fail $LOCKED "$holder has this host for another $left s at most"
    [ "$generation" = "$SEEN" ] || fail $LOCKED "$holder changed this host since it was looked at"
    generation=$((generation + 1))
  else # ours: taken after that look by another app of this process, or long ago, and others had the host in between
    [ "$generation" -le $((SEEN + 1)) ] || fail $LOCKED "another controller changed this host since it was looked at"
  fi
  write_lease "$TOKEN" $LEASE_SECONDS "$HOLDER" || fail 28 "cannot write below $STATE"
  exec 8>&-
}

named() { # app: a name as the desired state may give one; any other could be a path
  case $1 in '' | [!a-z]* | *[!a-z0-9_-]*) return 1 ;; esac
  [ ${#1} -le 31 ]
}

begin_change() { # app: one writer a host; root; its folders
  named "$1" || fail 77 "what is to be changed does not have the name of an app"
  take_lease
  mkdir -p "$STATE/$1/migrated" "$ENV/$1" "$RELEASES/$1/releases" "$RELEASES/$1/slots" "$UNITS" || fail 1 "cannot write below $STATE, $ENV and $RELEASES"
  chmod 0700 "$STATE" "$ENV" "$STATE/$1" "$ENV/$1"
  exec 9>>"$STATE/$1/lock"
  flock -w 30 9 || fail $STALE "another reconcile is changing $1 on this host"
  [ "$OWNER" = - ] || [ "$(cat "$STATE/$1/owner" 2>/dev/null)" = "$OWNER" ] || echo "$OWNER" >"$STATE/$1/owner"
  [ "$COMMIT" = - ] || [ "$(cat "$STATE/$1/commit" 2>/dev/null)" = "$COMMIT" ] || echo "$COMMIT" >"$STATE/$1/commit"
}

invocation_is() { # app slot expected
  [ "$(systemctl show -P InvocationID "$1@$2.service")" = "$3" ] ||
    fail $STALE "slot $2 was started anew meanwhile"
}

log_tail() { # unit epoch-seconds: what the app said since then; when it said nothing, what systemd says of it
  journalctl --sync 2>/dev/null
  # With --since systemd 252 takes -n for the first lines, not the last.
  said=$(journalctl --no-pager -o cat --since "@$2" "$(said_by "$1")" 2>/dev/null | tail -n 15)
  [ -n "$said" ] || said=$(journalctl --no-pager -o cat -n 15 --since "@$2" -u "$1" 2>/dev/null) ||
    said='its journal cannot be read by this login'
  case $said in *'at step USER spawning'* | *'at step NAMESPACE spawning'*)
    said="$said
(a host that refuses user namespaces can do without: sandbox: {shared_users: true})" ;;
  esac
  part log - "$(printf '%s\n' "$said" | cut -b 1-4000)"
}

why() { # stdin: a reason; one line of it, and not more than is worth keeping
  head -c 2000 | tr '\000-\037\177' ' '
}

# Arguments can be read by every user of the host, and sudo logs them: a digest that tells a short secret is in none.
quarantine() { # app; stdin: the identity on a line of its own, then why. These bytes with this env and unit failed here
  read -r identity && [ ${#identity} -le 300 ] || return 1
  case $identity in '' | *[!0-9A-Za-z._+~/-]*) return 1 ;; esac
  { printf ' %s \n' "$identity" | grep -vFf - "$STATE/$1/quarantine" 2>/dev/null | tail -n 19
    echo "$(date +%s) $identity $(why)"; } >"$STATE/$1/quarantine.new" &&
    sync "$STATE/$1/quarantine.new" && mv -T "$STATE/$1/quarantine.new" "$STATE/$1/quarantine"
}

served() { # app slot: its release counts as the newest of all
  touch "$RELEASES/$1/releases/$(basename "$(readlink "$RELEASES/$1/slots/$2")")"
}

needed() { # app release: a slot runs it, or would
  for each in "$RELEASES/$1/slots"/* "$TRIAL_ENV/$1"/*.env; do
    [ "$(readlink "$each")" != "../releases/$2" ] || return 0
    each=${each##*/}
    [ "$(tried "$1" "${each%.env}")" != "$2" ] || return 0
  done
  return 1
}

sink() { # app release: it failed here and no slot needs it: the first to be pruned, before what once served
  ! needed "$1" "$2" || return 0
  [ ! -d "$RELEASES/$1/releases/$2" ] || touch -d @1 "$RELEASES/$1/releases/$2"
}

# An instance on trial lies where a reboot forgets it: its env in TRIAL_ENV, its unit, an instance of its own, in
# TRIAL_UNITS. What is on disk stays what served last, until the new one is accepted.
[ -n "$TRIAL_UNITS" ] || case $UNITS in
  /etc/systemd/system) TRIAL_UNITS=/run/systemd/system TRIAL_ENV=/run/reconcile ;;
  *) TRIAL_UNITS=$UNITS/.run TRIAL_ENV=$STATE/.run ;; # the demo's
esac

fit_pauses() { # unit: systemd before 254 cannot make pauses grow, and warns of such lines at each reload: one pause for all
  version=$(systemctl --version) version=${version#systemd } version=${version%%[!0-9]*}
  [ "${version:-0}" -ge 254 ] || sed -i 's/^RestartSec=.*/RestartSec=5/; /^Restart\(Steps\|MaxDelaySec\)=/d' "$1"
}

FAILS_FAST='s/^StartLimitIntervalSec=.*/StartLimitIntervalSec=120/; s/^RestartSec=.*/RestartSec=1/'

try_slot() { # app slot release stage
  [ -d "$RELEASES/$1/releases/$3" ] || fail $STALE "release $3 is not on this host"
  mkdir -p "$TRIAL_ENV/$1" "$TRIAL_UNITS" && chmod 0700 "$TRIAL_ENV" "$TRIAL_ENV/$1" && fit_pauses "$4/unit" || return 1
  sed "s|^\(EnvironmentFile=\).*/%i.env|\1$TRIAL_ENV/$1/%i.env|; s|/$1/slots/%i|/$1/releases/$3|; $FAILS_FAST" "$4/unit" >"$TRIAL_UNITS/.$1@$2.new" &&
    chmod 0600 "$4/env" && cp "$4/unit" "$TRIAL_ENV/$1/$2.unit" && cp -p "$4/env" "$TRIAL_ENV/$1/.$2.new" &&
    mv -T "$TRIAL_ENV/$1/.$2.new" "$TRIAL_ENV/$1/$2.env" && mv -T "$TRIAL_UNITS/.$1@$2.new" "$TRIAL_UNITS/$1@$2.service" || return 1
  [ ! -e "$4/certificate" ] || write_certificate "$1" "$4"
  [ ! -e "$4/epmd" ] || put_epmd "$1" "$4" "$RELEASES/$1/releases/$3" || exit 1 # by now a unit names it: nobody drops it
  rm -rf "$4"
}

tried() { # app slot: the release on trial there, "" when none is
  sed -n '1s|^# reconcile \([^/]*\)/.*|\1|p' "$TRIAL_ENV/$1/$2.env" 2>/dev/null
}

accept() { # app slot: it is proven: from now on a reboot brings it back
  release=$(tried "$1" "$2")
  [ -n "$release" ] || return 0
  stage=$ENV/$1/.stage
  rm -rf "$stage" && mkdir -m 0700 "$stage" && cp "$TRIAL_ENV/$1/$2.unit" "$stage/unit" && cp "$TRIAL_ENV/$1/$2.env" "$stage/env" &&
    write_slot "$1" "$2" "$release" "$stage" || fail 28 "cannot write the files of slot $2"
  end_trial "$1" "$2"
}

end_trial() { # app slot: in this order, so that a unit that is left never lacks its env
  [ -e "$TRIAL_ENV/$1/$2.env" ] || [ -e "$TRIAL_UNITS/$1@$2.service" ] || return 0
  rm -f "$TRIAL_UNITS/$1@$2.service"
  systemctl daemon-reload
  rm -f "$TRIAL_ENV/$1/$2.env" "$TRIAL_ENV/$1/$2.unit"
}

started_at() { # app slot: when its files were written, that is, by start
  stat -c %Y "$TRIAL_ENV/$1/$2.env" 2>/dev/null || stat -c %Y "$RELEASES/$1/slots/$2" 2>/dev/null || echo 0
}

routed_slot() { sed -n '1s/^# reconcile route slot=\([^ ]*\) .*/\1/p' "$ROUTES/$1.yml" 2>/dev/null; }

record() { # app path file-with-the-new-content: it is ours, and this is what we wrote
  inventory=$STATE/$1/inventory
  { grep -v "  $2\$" "$inventory" 2>/dev/null; echo "$(sha256sum <"$3" | cut -d' ' -f1)  $2"; } >"$inventory.new" &&
    sync "$inventory.new" && mv -T "$inventory.new" "$inventory"
}

forget() { # app path
  inventory=$STATE/$1/inventory
  [ -e "$inventory" ] || return 0
  { grep -v "  $2\$" "$inventory" || :; } >"$inventory.new" && sync "$inventory.new" && mv -T "$inventory.new" "$inventory"
}

# A controller that is gone must keep no lock: what is short is all here before one is taken, and has a minute to come.
receive() { # stdin: from now on it is what has come
  own_folders
  { [ -d "$TRIAL_ENV" ] || mkdir -p -m 0700 "$TRIAL_ENV"; } && in=$(mktemp "$TRIAL_ENV/.in.XXXXXXXXXX") || fail 28 "cannot write below $TRIAL_ENV"
  timeout 60 cat >"$in" && exec <"$in" || { rm -f "$in"; fail 1 "what was sent did not come within a minute"; }
  rm -f "$in"
}

staged() { # unpack the tar on stdin into a private folder, its files as old as now, and print its name
  stage=$ENV/$1/.stage
  rm -rf "$stage" && mkdir -m 0700 "$stage" && cat >"$stage/.in" && whole_tar "$stage/.in" &&
    tar -xmf "$stage/.in" -C "$stage" --no-same-owner && rm "$stage/.in" && echo "$stage" || { rm -rf "$stage"; return 1; }
}

# A controller that dies while it sends leaves less on stdin, or nothing, and its script goes on: that counts for nothing.
whole_tar() { # file: it ends as a tar does; to tar itself even an empty one is whole
  [ "$(tail -c 1024 "$1" | tr -dc '\0' | wc -c)" = 1024 ]
}

whole_text() { # file: its last line says that nothing is missing
  [ "$(tail -n 1 "$1")" = '# end' ]
}

publish() { # app staged-file target mode: synced, recorded, then one rename
  [ -e "$3" ] && cmp -s "$2" "$3" && { record "$1" "$3" "$3"; rm -f "$2"; return; }
  new=$(dirname "$3")/.$(basename "$3").new
  cp "$2" "$new" && chmod "$4" "$new" && sync "$new" && record "$1" "$3" "$new" && mv -T "$new" "$3" && rm -f "$2"
}

EPMD=reconcile-epmd.service

put_epmd() ( # app stage release-folder: one for all apps of the host; copied out of the release, since releases go
  exec 7>>"$STATE/epmd.lock" && flock -w 30 7 || exit 1
  epmd=$RELEASES/reconcile-epmd
  for each in "$3"/erts-*/bin/epmd; do
    [ -x "$each" ] || fail 1 "distribution needs erts-*/bin/epmd, and ${3##*/} has none"
    [ -x "$epmd/epmd" ] || { mkdir -p "$epmd" && cp "$each" "$epmd/.new" && chmod 0755 "$epmd/.new" &&
      sync "$epmd/.new" && mv -T "$epmd/.new" "$epmd/epmd"; } || exit 1
  done
  cmp -s "$2/epmd" "$UNITS/$EPMD" && changed=no || changed=yes
  publish "$1" "$2/epmd" "$UNITS/$EPMD" 0644 || exit 1
  [ $changed = no ] || { systemctl daemon-reload && systemctl try-restart "$EPMD"; } # nodes find it again in seconds
)

drop_epmd() ( # systemd stops it when no running slot needs it; its files go when no unit names it
  [ -e "$UNITS/$EPMD" ] && exec 7>>"$STATE/epmd.lock" && flock -w 30 7 || exit 0
  ! grep -qsF "$EPMD" "$UNITS"/*@.service "$TRIAL_UNITS"/*@*.service || exit 0
  rm -rf "$UNITS/$EPMD" "$RELEASES/reconcile-epmd"
  for each in "$STATE"/*/inventory; do
    each=${each%/inventory}
    ! grep -qsF "$EPMD" "$each/inventory" || forget "${each##*/}" "$UNITS/$EPMD"
  done
  systemctl stop "$EPMD" 2>/dev/null
  systemctl daemon-reload
)

write_slot() { # app slot release stage: the unit template, the slot's env and its link to the release; then reload systemd
  [ -d "$RELEASES/$1/releases/$3" ] || fail $STALE "release $3 is not on this host"
  fit_pauses "$4/unit" && publish "$1" "$4/unit" "$UNITS/$1@.service" 0644
  [ ! -e "$4/epmd" ] || put_epmd "$1" "$4" "$RELEASES/$1/releases/$3" || exit 1
  publish "$1" "$4/env" "$ENV/$1/$2.env" 0600
  link_slot "$1" "$2" "$3"
  [ ! -e "$4/certificate" ] || write_certificate "$1" "$4"
  rm -rf "$4"
}

write_certificate() { # app stage: what Traefik shows for a name without one, and the file that says so. A host keeps its own.
  # When one of two instances leaves, the connections that wait for it go to the other. Kernels before 5.14 cut them.
  { echo 1 >/proc/sys/net/ipv4/tcp_migrate_req; } 2>/dev/null
  mkdir -p "$ROUTES"
  [ -s "$ENV/$1/.certificate" ] || publish "$1" "$2/certificate" "$ENV/$1/.certificate" 0600
  if cmp -s "$2/default" "$ROUTES/00-certificate.yml"; then record "$1" "$ROUTES/00-certificate.yml" "$2/default"; return; fi
  watched "$1" 00-certificate.yml 0644 <"$2/default"
}

step_aside() { # unit port: it lets go of its ports at once, and ends when its open requests have
  systemctl stop --no-block "$1"
  hex=$(printf '%04X' "$2") stop=$(($(date +%s) + 5))
  while cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "^ *[0-9]*: [0-9A-F]*:$hex [0-9A-F]*:0000 0A"; do
    [ "$(date +%s)" -lt "$stop" ] || break
    sleep 0.02
  done
}

enable_slot() { # app slot: for the next boot, which reads it from disk; loading it as well would take 0.2 s more
  systemctl enable --quiet --no-reload "$1@$2.service"
}

route() { # app slot; stdin: the text, and behind its end that of the htpasswd file that it may name
  [ -d "$ROUTES" ] || fail 1 "there is no $ROUTES: Traefik's dynamic directory must exist"
  systemctl is-enabled --quiet "$1@$2.service" 2>/dev/null || enable_slot "$1" "$2"
  both=$(cat) named=no
  if printf '%s\n' "$both" | grep -q '^      basicAuth: {.*"usersFile"'; then
    named=yes
    printf '%s\n' "$both" | sed '1,/^# end$/d' | watched "$1" "$1.htpasswd" 0640 || exit
  fi
  printf '%s\n' "$both" | sed '/^# end$/q' | watched "$1" "$1.yml" 0644 || exit
  [ $named = yes ] || drop_htpasswd "$1"
}

drop_htpasswd() { # app
  ! grep -q "  $ROUTES/$1.htpasswd\$" "$STATE/$1/inventory" 2>/dev/null || { rm -f "$ROUTES/$1.htpasswd" && forget "$1" "$ROUTES/$1.htpasswd"; }
}

watched() { # app file mode; stdin: the text. Outside the watched folder first, then one rename. 0640 is for Traefik's eyes.
  outside=$(dirname "$ROUTES")/.reconcile
  # Another file system would turn the rename into a copy, and the watched folder would see it half-written.
  mkdir -p -m 0700 "$outside" 2>/dev/null && [ -w "$outside" ] && [ "$(stat -c %d "$outside")" = "$(stat -c %d "$ROUTES")" ] ||
    outside=$ROUTES
  new=$outside/.$2.new
  (umask 077 && cat >"$new") && { [ "$3" = 0644 ] || chgrp "$(traefik_group)" "$new"; } && chmod "$3" "$new" &&
    sync -f "$new" || fail 28 "cannot write below $outside"
  whole_text "$new" || { rm -f "$new"; fail 1 "what was sent for $ROUTES/$2 broke off"; }
  record "$1" "$ROUTES/$2" "$new" && mv -T "$new" "$ROUTES/$2" || fail 28 "cannot write below $ROUTES and $STATE"
  sync -f "$ROUTES"
}

traefik_group() { # of the Traefik that runs: by its unit, for any process may call itself so
  for each in $(systemctl show -P MainPID 'traefik@*.service' traefik.service 2>/dev/null); do
    [ "$each" = 0 ] || { awk '/^Gid:/ {print $3; found = 1} END {exit !found}' "/proc/$each/status" && return; }
  done 2>/dev/null
  future_group
}

future_group() { # of the Traefik of ours that is to run, which keeps the one of its state; root's when it has none yet
  stat -Lc %g /var/lib/traefik 2>/dev/null || echo 0
}

give_passwords() ( # Traefik is about to start: the files of names and hashes that we wrote are for its eyes
  set -- "$ROUTES"/*.htpasswd
  [ -e "$1" ] || exit 0
  [ -e /var/lib/traefik ] || run_as traefik traefik-state.service state /bin/true # by its user, which makes the folder
  for each; do
    app=${each##*/} app=${app%.htpasswd}
    ! grep -qsxF "$(sha256sum <"$each" | cut -d' ' -f1)  $each" "$STATE/$app/inventory" || chgrp "$(future_group)" "$each"
  done
)

link_slot() { # app slot release
  rm -f "$RELEASES/$1/slots/.$2.new"
  ln -s "../releases/$3" "$RELEASES/$1/slots/.$2.new" && mv -T "$RELEASES/$1/slots/.$2.new" "$RELEASES/$1/slots/$2"
}

end() { # unit: what it has open may take long to end, longer than a lease lasts
  systemctl stop "$1" 2>/dev/null &
  job=$! renew=0
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.05
    renew=$((renew + 1))
    [ $((renew % 100)) != 0 ] || take_lease
  done
}

clear_slot() { # app slot: not enabled, not running, no files
  systemctl disable --quiet "$1@$2.service" 2>/dev/null
  end "$1@$2.service"
  systemctl reset-failed "$1@$2.service" 2>/dev/null
  end_trial "$1" "$2"
  rm -f "$ENV/$1/$2.env" "$RELEASES/$1/slots/$2" "$RELEASES/$1/slots/.$2.new"
  forget "$1" "$ENV/$1/$2.env"
}
