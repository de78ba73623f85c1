# Places that systemd gives to an app's user at the first start, even if another program made them. It even moves a folder
# in /var/lib.

# find_taken APP: set taken to those of them that exist and are not ours. It is empty once the app was accepted here, or
# adopted.
find_taken() {
  taken=
  [ "$TRIAL_UNITS" = /run/systemd/system ] && [ ! -e "$STATE/$1/adopted" ] || return 0
  # The unit of a Traefik that was set up by hand is judged, and what it has goes with it.
  [ "$1" != traefik ] || [ ! -e "$UNITS/traefik.service" ] || return 0
  # What is on trial was looked at before it started.
  for file in "$TRIAL_ENV/$1"/*.env; do [ ! -e "$file" ] || return 0; done
  if [ -r "$STATE/$1/inventory" ]; then
    while read -r _ file; do [ "$file" != "$UNITS/$1@.service" ] || return 0; done <"$STATE/$1/inventory"
  fi
  find_taken_folders "$1"
  find_taken_names "$1"
}

# check_free APP: fail if one of them is taken, in the moment before they are handed over.
check_free() {
  find_taken "$1"
  [ -z "$taken" ] || fail 1 "${taken# }, which is there and not reconcile's, would be given to the app"
}

# find_taken_folders APP: add the folders to taken.
find_taken_folders() {
  if [ -L "/var/lib/$1" ]; then
    # An app of ours that was removed leaves its data like this; or it belongs to a unit that says so.
    [ "$(readlink "/var/lib/$1")" = "private/$1" ] && ! is_claimed "$1" || taken="$taken /var/lib/$1"
  else
    for path in "/var/lib/$1" "/var/lib/private/$1"; do is_missing "$path" || taken="$taken $path"; done
  fi
  is_missing "/run/$1" || is_our_runtime_folder "/run/$1" || taken="$taken /run/$1"
  [ -e "$STATE/$1" ] || for path in "$RELEASES/$1/releases" "$RELEASES/$1/slots"; do
    is_missing "$path" || taken="$taken $path"
  done
}

# find_taken_names APP: add the files that know a user or a group of this name to taken.
find_taken_names() {
  for path in /etc/passwd /etc/group; do
    while IFS=: read -r name _; do [ "$name" != "$1" ] || taken="$taken $path"; done <"$path"
  done
}

# is_missing PATH: true if there is nothing, not even a link to nothing.
is_missing() {
  [ ! -e "$1" ] && [ ! -L "$1" ]
}

# is_our_runtime_folder PATH: true if it is a folder of root's with nothing but what an instance, a migration, a hook or
# a command of an app has there.
is_our_runtime_folder() {
  # shellcheck disable=SC3067 # every shell of a system with systemd knows -O, and stat would be one more process
  [ ! -L "$1" ] && [ -d "$1" ] && [ -O "$1" ] || return 1
  for path in "$1"/* "$1"/.[!.]*; do
    case ${path##*/} in '*' | '.[!.]*' | [1-9]* | worker | migrate | hook | exec | job.*) ;; *) return 1 ;; esac
  done
}

# is_claimed APP: true if a unit of this host that is not ours keeps its state in a folder of this name.
is_claimed() {
  for folder in /etc /run /usr/local/lib /usr/lib /lib; do
    grep -qsE "^ *StateDirectory *=(.* )?\"?$1([/: \"]|\$)" "$folder/systemd/system"/*.service \
      "$folder/systemd/system"/*.service.d/*.conf && return
  done
  return 1
}
