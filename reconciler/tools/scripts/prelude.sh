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
# Open files: 9 is the lock of the app that is changed, 8 the lock of the lease while it is written, 7 what is received.
#
# A function that changes something either ends the script with `fail`, or returns 1 for its caller to do so.
LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
export LC_ALL PATH
umask 022
# shellcheck disable=SC2034 # no script uses all of them
RELEASES=$1 ENV=$2 UNITS=$3 STATE=$4 ROUTES=$5 TOKEN=$6 SEEN=$7 HOLDER=$8 OWNER=$9
shift 9
DEAD=$1 COMMIT=$2
shift 2

# An instance on trial is kept where a reboot forgets it: its env file in TRIAL_ENV, a unit file of its own in
# TRIAL_UNITS. What is on disk stays what served last, until the new instance is accepted. user.sh names other folders.
if [ -z "$TRIAL_UNITS" ]; then
  case $UNITS in
    /etc/systemd/system) TRIAL_UNITS=/run/systemd/system TRIAL_ENV=/run/reconcile ;;
    *) TRIAL_UNITS=$UNITS/.run TRIAL_ENV=$STATE/.run ;; # the demo's
  esac
fi

# OWN_UID: whose files ours are. On a host that is root, or the login of a user's own systemd.
# shellcheck disable=SC2034 # not every script asks
while read -r key OWN_UID _; do [ "$key" != Uid: ] || break; done </proc/self/status

STALE=75  # exit status: the host is no longer as the controller saw it; nothing was done, look again
LOCKED=76 # exit status: another controller has the host, or had it since this one looked
# shellcheck disable=SC2034 # only stop says it
STOPPING=78 # exit status: what was told to stop has not ended yet; the same script once more waits for it
NO_ROOM=28  # exit status: something could not be written
LEASE_SECONDS=30

# fail STATUS REASON: print the reason on stderr and exit.
fail() {
  echo "$2" >&2
  exit "$1"
}

# uptime_milliseconds: print how long the host has been up. Unlike the time of day nobody sets it.
uptime_milliseconds() {
  read -r up _ </proc/uptime && echo $((${up%.*} * 1000 + 1${up#*.} * 10 - 1000)) # hundredths may begin with 0
}

# read_lease: set generation, token, expires, boot and holder from the lease; now and this_boot; and left, the seconds
# for which it is still held. The clock is the host's uptime, which never goes back.
read_lease() {
  generation=0 token=- expires=0 boot=- holder=-
  [ ! -r "$STATE/lease" ] || read -r generation token expires boot holder <"$STATE/lease"
  # A file that was cut off, or written by another program, is a lease that is free.
  case $generation in '' | *[!0-9]*) generation=0 ;; esac
  case $expires in '' | *[!0-9]*) expires=0 ;; esac
  token=${token:--} holder=${holder:--}
  read -r now _ </proc/uptime
  read -r this_boot </proc/sys/kernel/random/boot_id
  now=${now%.*}
  [ "$boot" = "$this_boot" ] || expires=0
  left=$((expires > now ? expires - now : 0))
  [ "$token" != - ] || left=0
}

# write_lease TOKEN SECONDS HOLDER: write the lease, after read_lease. Returns 1 if it could not be written.
write_lease() {
  echo "$generation $1 $((now + $2)) $this_boot $3" >"$STATE/lease.new" &&
    mv -T "$STATE/lease.new" "$STATE/lease"
}

# lock_lease: keep other scripts from reading and writing the lease until file 8 is closed. Fails with LOCKED.
lock_lease() {
  exec 8>>"$STATE/lease.lock"
  flock -w 30 8 || fail "$LOCKED" "the lease of this host cannot be had"
}

# holds_apps_only FOLDER: true if each name in FOLDER is an app's: also a folder in STATE. In STATE itself, none is.
holds_apps_only() {
  for path in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    case $path in */lost+found | "$TRIAL_ENV") continue ;; esac
    if [ -e "$path" ] || [ -L "$path" ]; then
      [ "$1" != "$STATE" ] && [ -d "$STATE/${path##*/}" ] || return 1
    fi
  done
}

# check_folders: fail if STATE or ENV holds files of another program, since both are closed to all other users. A folder
# that is named reconcile is ours.
check_folders() {
  case $STATE in
    /var/lib/reconcile | */.local/state/reconcile) ;;
    *) [ -e "$STATE/lease.lock" ] || holds_apps_only "$STATE" || refuse_folder state "$STATE" ;;
  esac
  case $ENV in
    /etc/reconcile | */.config/reconcile) ;;
    *) holds_apps_only "$ENV" || refuse_folder env "$ENV" ;;
  esac
}

# refuse_folder KEY FOLDER: fail, since the folder that fleet.yaml names under paths.KEY belongs to another program.
refuse_folder() {
  fail 1 "paths.$1: $2 is there and not reconcile's: name one that is empty or not there"
}

# take_lease: take or renew the lease. Fails with LOCKED if another controller has it, or changed the host since this
# one looked: a controller that slept meanwhile changes nothing. A takeover is synced: after a power cut the host still tells
# such a controller that it was overtaken.
take_lease() {
  synced=no
  check_folders
  mkdir -p "$STATE" || fail "$LOCKED" "the lease of this host cannot be had"
  lock_lease
  read_lease
  if [ "$token" != "$TOKEN" ]; then
    [ "$left" = 0 ] || [ "$token" = "$DEAD" ] || fail "$LOCKED" "$holder has this host for another $left s at most"
    [ "$generation" = "$SEEN" ] || fail "$LOCKED" "$holder changed this host since it was looked at"
    generation=$((generation + 1)) synced=yes
  else # ours: taken after that look by another app of this process, or long ago, and others had the host in between
    [ "$generation" -le $((SEEN + 1)) ] || fail $LOCKED "another controller changed this host since it was looked at"
  fi
  { write_lease "$TOKEN" "$LEASE_SECONDS" "$HOLDER" && { [ $synced = no ] || sync "$STATE/lease" "$STATE"; }; } ||
    fail "$NO_ROOM" "cannot write below $STATE"
  exec 8>&-
}

# is_app_name TEXT: true if it is a name that the desired state may give an app. Any other could be a path.
is_app_name() {
  case $1 in '' | [!a-z]* | *[!a-z0-9_-]*) return 1 ;; esac
  [ "${#1}" -le 31 ]
}

# begin_change APP: take the lease, make the app's folders, and lock the app; set waited if another change of the app was
# still ending. Fails if any of it is not possible, or if another controller took the lease while this one waited for the
# lock: it may have changed the app, too.
# shellcheck disable=SC2034 # only an install asks whether it waited
begin_change() {
  is_app_name "$1" || fail 77 "what is to be changed does not have the name of an app"
  take_lease
  own_generation=$generation
  {
    mkdir -p "$STATE/$1/migrated" "$ENV/$1" "$RELEASES/$1/releases" "$RELEASES/$1/slots" "$UNITS" &&
      chmod 0700 "$STATE" "$ENV" "$STATE/$1" "$ENV/$1"
  } || fail 1 "cannot write below $STATE, $ENV and $RELEASES"
  exec 9>>"$STATE/$1/lock"
  waited=''
  flock -n 9 || { waited=yes && flock -w 30 9; } || fail "$STALE" "another reconcile is changing $1 on this host"
  read_lease
  [ "$generation" = "$own_generation" ] || fail "$LOCKED" "$holder took this host over while this one waited"
  sweep "$1"
  sweep_slots "$1"
  note "$STATE/$1/owner" "$OWNER"
  note "$STATE/$1/commit" "$COMMIT"
}

# sweep APP: take away what an earlier change of the app left half-written: it was killed, or could not go on. Only who has
# the app's lock writes these files, so none of them is in use. Fails.
sweep() {
  certificate=.$1.yml.new
  [ "$1" != traefik ] || certificate=.00-certificate.yml.new
  for part in "$STATE/$1"/*.new "$STATE/$1/jobs"/*.suspended.new "$ENV/$1/.stage" "$ENV/$1"/.*.new \
    "$UNITS/.$1@.service.new" "$UNITS/.$1--"*.new "$RELEASES/$1/slots"/.*.new \
    "$TRIAL_ENV/$1"/.*.new "$TRIAL_ENV/$1"/.*.started "$TRIAL_UNITS/.$1@"*.new \
    "$RELEASES/$1/releases"/.incoming-* "$RELEASES/$1/releases"/.old-* \
    "${ROUTES%/*}/.reconcile/.$1.yml.new" "${ROUTES%/*}/.reconcile/.$1.htpasswd.new" "${ROUTES%/*}/.reconcile/.$1.pem.new" \
    "${ROUTES%/*}/.reconcile/$certificate" \
    "$ROUTES/.$1.yml.new" "$ROUTES/.$1.htpasswd.new" "$ROUTES/.$1.pem.new" "$ROUTES/$certificate"; do
    { [ ! -e "$part" ] && [ ! -L "$part" ]; } || is_of_process "$1" "$part" || rm -rf "${part:?}" ||
      fail "$NO_ROOM" "cannot take $part away, which is half-written"
  done
  for part in "$STATE/$1/trees"/* "$STATE/$1/sums"/* "$STATE/$1/migrated"/*; do
    [ ! -e "$part" ] || is_of_release "$1" "${part##*/}" || rm -f "$part" || fail "$NO_ROOM" "cannot write below $STATE"
  done
}

# is_of_process APP PATH: true if it is the unit of a process of the app, which has a lock of its own. That of a job is named
# the same way.
is_of_process() {
  case $2 in "$UNITS/.$1--"*) ;; *) return 1 ;; esac
  unit_name=${2#"$UNITS/."}
  [ -d "$STATE/${unit_name%%[@.]*}" ]
}

# is_of_release APP NAME: true if what is noted under this name is of a release that is here. A power cut may bring back the
# notes of one that was pruned.
is_of_release() {
  for of_release in "$RELEASES/$1/releases/${2%%@*}" "$RELEASES/$1/releases/${2%%@*}~"*; do [ ! -d "$of_release" ] || return 0; done
  return 1
}

# note FILE TEXT: write the text into the file, unless it holds it or the text is -. Fails if it could not be written.
note() {
  [ "$2" != - ] && [ "$(cat "$1" 2>/dev/null)" != "$2" ] || return 0
  { echo "$2" >"$1.new" && sync "$1.new" && mv -T "$1.new" "$1"; } || fail "$NO_ROOM" "cannot write below $STATE"
}

# mark_hook APP due|none|keep HOOK IDENTITY: note that this hook is due here once the rollout has ended, or that none is.
# Fails if it could not be written.
mark_hook() {
  case $2 in
    due) note "$STATE/$1/hook" "$3 $4 due" ;;
    none) [ ! -e "$STATE/$1/hook" ] || rm -f "$STATE/$1/hook" || fail "$NO_ROOM" "cannot write below $STATE" ;;
  esac
}

# receive: from here on stdin is a file that holds all of it. Its name is gone before its first byte comes, so whatever ends
# this script leaves no secret behind: at most an empty file, which the next one takes away. The sender has a minute, before
# any lock is taken: a controller that is gone must keep none.
receive() {
  check_folders
  # The script of another app may make the folder at the same moment.
  [ -d "$TRIAL_ENV" ] || { mkdir -p "${TRIAL_ENV%/*}" && mkdir -m 0700 "$TRIAL_ENV" 2>/dev/null; } || [ -d "$TRIAL_ENV" ] ||
    fail "$NO_ROOM" "cannot write below $TRIAL_ENV"
  # A script that begins at the same moment may remove the name in between: opening the file makes it anew.
  (: >"$TRIAL_ENV/.stdin.$$") 2>/dev/null || fail "$NO_ROOM" "cannot write below $TRIAL_ENV"
  exec 7<>"$TRIAL_ENV/.stdin.$$"
  rm -f "$TRIAL_ENV"/.stdin.* || fail "$NO_ROOM" "cannot write below $TRIAL_ENV"
  timeout 60 cat >&7 || fail 1 "what was sent did not come within a minute"
  exec </proc/self/fd/7 7>&-
}

# unpack APP: unpack the tar on stdin into a private folder and print its name. Its files are as old as now. Returns 1.
unpack() {
  stage=${ENV:?}/${1:?}/.stage
  rm -rf "${stage:?}" && mkdir -m 0700 "$stage" && cat >"$stage/.in" && is_whole_tar "$stage/.in" &&
    tar -xmf "$stage/.in" -C "$stage" --no-same-owner && rm "$stage/.in" && echo "$stage" && return
  rm -rf "${stage:?}"
  return 1
}

# A controller that dies while it sends leaves less on stdin, or nothing, and its script goes on. What is not whole does
# not count.

# is_whole_tar FILE: true if it ends as a tar does. For tar itself even an empty file is whole.
is_whole_tar() {
  [ "$(tail -c 1024 "$1" | tr -dc '\0' | wc -c)" = 1024 ]
}

# is_whole_text FILE: true if its last line says that nothing is missing.
is_whole_text() {
  [ "$(tail -n 1 "$1")" = '# end' ]
}

# one_line: print the reason on stdin as one line of at most 2000 bytes.
one_line() {
  head -c 2000 | tr '\000-\037\177' ' '
}

# quarantine APP [due|none]: remember that an attempt failed here, and why, and whether on_failure is due. Stdin is its identity on a line of its own, then the
# reason: arguments can be read by every user and sudo logs them, and a digest that tells a short secret is in none.
# Returns 1.
quarantine() {
  read -r identity && [ "${#identity}" -le 300 ] || return 1
  case $identity in '' | *[!0-9A-Za-z._+~/-]*) return 1 ;; esac
  at=$(date +%s) && reason=$(one_line) || return 1
  mark_hook "$1" "${2:-keep}" on_failure "${identity%/*}"
  {
    printf ' %s \n' "$identity" | grep -vsFf - "$STATE/$1/quarantine" | tail -n 19 &&
      echo "$at $identity $reason"
  } >"$STATE/$1/quarantine.new" &&
    sync "$STATE/$1/quarantine.new" && mv -T "$STATE/$1/quarantine.new" "$STATE/$1/quarantine"
}
