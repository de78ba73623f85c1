# Places that systemd hands to an app's user at its first start, whoever made them: a folder in /var/lib is even moved.
taken() { # app: sets taken to those of them that are there and are not ours; "" once the app was accepted here, or adopted
  taken=
  [ "$TRIAL_UNITS" = /run/systemd/system ] && [ ! -e "$STATE/$1/adopted" ] || return 0
  [ "$1" != traefik ] || [ ! -e "$UNITS/traefik.service" ] || return 0 # that unit is judged, and what it has goes with it
  for each in "$TRIAL_ENV/$1"/*.env; do [ ! -e "$each" ] || return 0; done # on trial: looked at before it started
  if [ -r "$STATE/$1/inventory" ]; then
    while read -r digest file; do [ "$file" != "$UNITS/$1@.service" ] || return 0; done <"$STATE/$1/inventory"
  fi
  take_stock "$1"
}

free_to_take() { # app: in the moment before it is done
  taken "$1"
  [ -z "$taken" ] || fail 1 "${taken# }, which is there and not reconcile's, would be given to the app"
}

take_stock() { # app
  if [ -L "/var/lib/$1" ]; then
    # That is how an app of ours that was removed leaves its data; or it belongs to a unit that says so.
    [ "$(readlink "/var/lib/$1")" = "private/$1" ] && ! claimed "$1" || taken="$taken /var/lib/$1"
  else
    for each in "/var/lib/$1" "/var/lib/private/$1"; do [ ! -e "$each" ] && [ ! -L "$each" ] || taken="$taken $each"; done
  fi
  if [ -e "/run/$1" ] || [ -L "/run/$1" ]; then
    { [ ! -L "/run/$1" ] && [ -d "/run/$1" ] && [ -O "/run/$1" ] && only_ours "/run/$1"; } || taken="$taken /run/$1"
  fi
  for each in /etc/passwd /etc/group; do
    while IFS=: read -r name rest; do [ "$name" != "$1" ] || taken="$taken $each"; done <"$each"
  done
  [ -e "$STATE/$1" ] || for each in "$RELEASES/$1/releases" "$RELEASES/$1/slots"; do
    [ ! -e "$each" ] && [ ! -L "$each" ] || taken="$taken $each"
  done
}

only_ours() { # folder in /run: nothing but what an instance, a migration or a command of an app has there
  for each in "$1"/* "$1"/.[!.]*; do
    case ${each##*/} in '*' | '.[!.]*' | [1-9]* | worker | migrate | exec) ;; *) return 1 ;; esac
  done
}

claimed() { # app: a unit of this host, which is not ours, keeps its state there
  for each in /etc /run /usr/local/lib /usr/lib /lib; do
    grep -qsE "^ *StateDirectory *=(.* )?\"?$1([/: \"]|\$)" "$each/systemd/system"/*.service \
      "$each/systemd/system"/*.service.d/*.conf && return
  done
  return 1
}
