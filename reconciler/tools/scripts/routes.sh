# The routes of an app: what Traefik reads.

# routed_slot APP: print the slot that the app's route names, or nothing. Returns 1.
routed_slot() {
  [ ! -e "$ROUTES/$1.yml" ] || sed -n '1s/^# reconcile route slot=\([^ ]*\) .*/\1/p' "$ROUTES/$1.yml"
}

# is_routed APP SLOT: true if the app's route names the slot. Fails if the route cannot be read.
is_routed() {
  routed=$(routed_slot "$1") || fail 1 "cannot read $ROUTES/$1.yml"
  [ "$routed" = "$2" ]
}

# route APP SLOT: write the app's route, which names this slot, or fail. Stdin is as for write_route. First enable the slot: at
# every moment the routed slot is.
route() {
  [ -d "$ROUTES" ] || fail 1 "there is no $ROUTES: Traefik's dynamic directory must exist"
  systemctl is-enabled --quiet "$1@$2.service" 2>/dev/null || enable_slot "$1" "$2" || fail 1 "cannot enable $1@$2.service"
  write_route "$1"
}

# write_route APP: write the app's route, or fail. Stdin is its text, and after the end of that the text of the htpasswd file,
# if the route names one, and after the end of that the certificate with its key, if it names one.
write_route() {
  [ -d "$ROUTES" ] || fail 1 "there is no $ROUTES: Traefik's dynamic directory must exist"
  texts=$(cat) || fail 1 "what was sent for $ROUTES/$1.yml broke off"
  named='' number=1
  if printf '%s\n' "$texts" | grep -q '^      basicAuth: {.*"usersFile"'; then named=.htpasswd; fi
  if printf '%s\n' "$texts" | grep -q '^  certificates: '; then named="$named .pem"; fi
  for suffix in $named; do
    number=$((number + 1))
    part_of_texts $number | write_watched "$1" "$1$suffix" 0640 || exit
  done
  part_of_texts 1 | write_watched "$1" "$1.yml" 0644 || exit
  for suffix in .htpasswd .pem; do
    case $named in *"$suffix"*) ;; *) drop_beside_route "$1" "$suffix" ;; esac
  done
}

# part_of_texts NUMBER: print this part of texts, up to the line that ends it.
part_of_texts() {
  printf '%s\n' "$texts" | awk -v wanted="$1" 'BEGIN {part = 1} part == wanted {print} $0 == "# end" {part++}'
}

# unroute APP: take the app's route away, or fail.
unroute() {
  { rm -f "$ROUTES/$1.yml" && forget "$1" "$ROUTES/$1.yml"; } || fail "$NO_ROOM" "cannot write below $ROUTES and $STATE"
  drop_private "$1"
}

# drop_private APP: take away what only Traefik may read of the app, or fail.
drop_private() {
  drop_beside_route "$1" .htpasswd
  drop_beside_route "$1" .pem
}

# drop_beside_route APP SUFFIX: take the app's file with this suffix away if it is ours, or fail.
drop_beside_route() {
  is_recorded "$1" "$ROUTES/$1$2" || return 0
  { rm -f "$ROUTES/$1$2" && forget "$1" "$ROUTES/$1$2"; } ||
    fail "$NO_ROOM" "cannot write below $ROUTES and $STATE"
}

# write_watched APP FILE MODE: write the text on stdin into the folder that Traefik watches, or fail: in a folder beside
# it first, then by one rename. A file of mode 0640 is for Traefik and no other user.
write_watched() {
  beside=$(folder_beside) fresh=$beside/.$2.new
  {
    (umask 077 && cat >"$fresh") && { [ "$3" = 0644 ] || chgrp "$(traefik_group)" "$fresh"; } && chmod "$3" "$fresh" &&
      sync -f "$fresh"
  } || fail "$NO_ROOM" "cannot write below $beside"
  if ! is_whole_text "$fresh"; then
    rm -f "$fresh"
    fail 1 "what was sent for $ROUTES/$2 broke off"
  fi
  { record "$1" "$ROUTES/$2" "$fresh" && mv -T "$fresh" "$ROUTES/$2" && sync -f "$ROUTES"; } ||
    fail "$NO_ROOM" "cannot write below $ROUTES and $STATE"
}

# folder_beside: print the folder from which a file is renamed into ROUTES. On another file system the rename would be a
# copy, which Traefik could see half-written: then that is ROUTES itself, and so where no other may be made.
folder_beside() {
  beside=${ROUTES%/*}/.reconcile
  if { mkdir -m 0700 "$beside" || [ -d "$beside" ]; } 2>/dev/null && [ -w "$beside" ] &&
    [ "$(stat -c %d "$beside")" = "$(stat -c %d "$ROUTES")" ]; then
    echo "$beside"
  else
    echo "$ROUTES"
  fi
}

# write_certificate APP STAGE: write what Traefik shows for a name without a certificate, and the file that says so. A
# host keeps the certificate it has. Returns 1 or fails.
write_certificate() {
  # When one of two instances leaves, the connections that wait for it go to the other. Kernels before 5.14 cut them.
  { echo 1 >/proc/sys/net/ipv4/tcp_migrate_req; } 2>/dev/null
  mkdir -p "$ROUTES" || return 1
  [ -s "$ENV/$1/.certificate" ] || publish "$1" "$2/certificate" "$ENV/$1/.certificate" 0600 || return 1
  if cmp -s "$2/default" "$ROUTES/00-certificate.yml"; then
    record "$1" "$ROUTES/00-certificate.yml" "$2/default"
    return
  fi
  write_watched "$1" 00-certificate.yml 0644 <"$2/default"
}

# traefik_group: print the group of the Traefik that runs. It is found by its unit: any process may call itself so.
# Returns 1.
traefik_group() {
  pids=$(systemctl show -P MainPID 'traefik@*.service' traefik.service) || return 1
  for pid in $pids; do
    [ "$pid" = 0 ] || { awk '/^Gid:/ {print $3; found = 1} END {exit !found}' "/proc/$pid/status" && return; } 2>/dev/null
  done
  future_group
}

# future_group: print the group of our Traefik that is to run: that of its state, and root's if it has none yet.
future_group() {
  stat -Lc %g /var/lib/traefik 2>/dev/null || echo 0
}

# give_private: let Traefik, which is about to start, read the htpasswd files and certificates that we wrote. Returns 1.
give_private() (
  set -- "$ROUTES"/*.htpasswd "$ROUTES"/*.pem
  [ -e "$1" ] || [ -e "$2" ] || exit 0
  # A command of its user makes the folder.
  [ -e /var/lib/traefik ] || run_as traefik traefik-state.service state /bin/true || exit 1
  for file; do
    routed=${file##*/} routed=${routed%.*}
    ! is_as_written "$routed" "$file" || chgrp "$(future_group)" "$file" || exit 1
  done
)
