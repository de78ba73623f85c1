# The guard of reconcile-host. A user who may run only this program by sudo chooses its arguments and stdin freely. The
# guard judges all of them before the script of the verb sees any. It refuses what is not known to be harmless, and a
# check that cannot be made counts as failed.
#
# Arguments: digest of the scripts, verb, then those of the verb's script, the folders included.
#
# A function that judges something returns 0 if it is sound, and otherwise returns 1 or refuses it.
cd / || exit 1
umask 022
ulimit -f unlimited 2>/dev/null
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin LC_ALL=C SYSTEMD_PAGER=cat SYSTEMD_COLORS=0
REFUSED=77 OTHER=78 LONGEST=8388608

# refuse REASON: print the reason and exit with REFUSED.
refuse() {
  echo "reconcile-host: $1" >&2
  exit $REFUSED
}

# only CHARACTERS TEXT: true if the text is not empty and has only these characters, written as in a bracket.
only() {
  case $2 in '') return 1 ;; *[!$1]*) return 1 ;; esac
}

# short TEXT LENGTH: true if the text is not longer.
short() { [ "${#1}" -le "$2" ]; }

# hex TEXT LENGTH: true if it is a hexadecimal number of so many digits.
hex() { only 0-9a-f "$1" && [ "${#1}" = "$2" ]; }

# is_KIND TEXT: true if an argument is of this kind. The scripts' signatures name the kinds.

is_number() {
  only 0-9 "$1" && short "$1" 12 && case $1 in 0?*) return 1 ;; esac
}
is_room() {
  case $1 in *+*+*) return 1 ;; *+*) ;; *) return 1 ;; esac
  is_number "${1%+*}" && is_number "${1#*+}"
}
is_token() { [ "$1" = - ] || { only 0-9A-Za-z._- "$1" && short "$1" 128; }; }
is_holder() { only 0-9A-Za-z@.:_- "$1" && short "$1" 255; }
is_owner() { only 0-9A-Za-z._- "$1" && short "$1" 128; }
is_slot() {
  [ "$1" = worker ] || { is_number "$1" && short "$1" 5 && [ "$1" -ge 1024 ] && [ "$1" -le 65535 ]; }
}
is_release() {
  only 0-9A-Za-z._+~- "$1" && short "$1" 77 && hex "${1##*-}" 12 &&
    case $1 in [!0-9A-Za-z]* | *..*) return 1 ;; *-*) ;; *) return 1 ;; esac
}

# is_name TEXT: the name of a release, finished or not.
is_name() {
  only 0-9A-Za-z._+~- "$1" && short "$1" 100 && case $1 in *..* | .[!0-9A-Za-z]* | [!.0-9A-Za-z]* | .) return 1 ;; esac
}
is_invocation() { [ -z "$1" ] || hex "$1" 32; }

# is_identity TEXT: release/env/unit, and perhaps the attempt.
is_identity() {
  only 0-9A-Za-z._+~/- "$1" && short "$1" 128 && case $1 in /* | */ | *//* | */*/*/*/*) return 1 ;; */*/*) ;; *) return 1 ;; esac
}
is_digest() { [ "$1" = - ] || hex "$1" 12; }
is_sha256() { hex "$1" 64; }

# is_top TEXT: the folder to which an archive unpacks.
is_top() { [ "$1" = . ] || is_name "$1"; }

# is_any_app TEXT: also an app that was removed.
is_any_app() { app_shaped "$1"; }
is_text() { short "$1" 65536; }
is_nothing() { [ "$1" = - ]; }
is_node() {
  only 0-9A-Za-z_@.- "$1" && short "$1" 255 && case $1 in -*) return 1 ;; esac
}

# is_job TEXT: the name of a job.
is_job() {
  only 0-9a-z_- "$1" && short "$1" 28 && case $1 in [!a-z]* | *--* | *- | worker) return 1 ;; esac
}

# is_node_root TEXT: the folder of a release of this app, or of a copy of it.
is_node_root() {
  name=${1##*/}
  case $name in *'~'[1-9] | *'~'[1-9][0-9] | *'~'[1-9][0-9][0-9]) name=${name%'~'*} ;; esac
  is_release "$name" && [ "$1" = "$RELEASES/$app/releases/${1##*/}" ]
}

# is_word TEXT: app:slot,slot.
is_word() {
  case $1 in *:*:* | *,, | *:,*) return 1 ;; *:*) ;; *) return 1 ;; esac
  app_shaped "${1%%:*}" || return 1
  set -- "${1#*:}"
  while [ -n "$1" ]; do
    is_slot "${1%%,*}" || return 1
    case $1 in *,*) set -- "${1#*,}" ;; *) return 0 ;; esac
  done
}

# app_shaped TEXT: true if it has the form of the name of an app, or of a process of one.
app_shaped() {
  only 0-9a-z_- "$1" && short "$1" 31 && case $1 in [!a-z]* | systemd* | *---* | *--*--* | *--) return 1 ;; esac &&
    case " $TAKEN_NAMES " in *" $1 "*) [ "$1" = traefik ] ;; esac # Traefik is run as an app
}

# is_app TEXT: an app of ours.
is_app() { is_own_app "$1" && [ -d "$STATE/$1" ]; }

# is_own_app TEXT: an app that may be changed: one of ours, or one whose places belong to no other program.
is_own_app() {
  app_shaped "$1" || return 1
  # A process has the user of its app.
  case $1 in *--*) [ -d "$STATE/${1%%--*}" ] || refuse "${1%%--*}, which $1 is a process of, is not on this host" ;; esac
  grep -q "^$1:" /etc/passwd /etc/group
  [ $? = 1 ] || refuse "$1 is a user or group of this host"
  for folder in /usr/lib /lib /usr/local/lib; do
    for unit in "$1@.service" "$1.service" "$1-migrate.service" "$1-hook.service"; do
      [ ! -e "$folder/systemd/system/$unit" ] || refuse "$unit is a unit of this host's system"
    done
  done
  for file in "$UNITS/$1@.service" "$ROUTES/$1.yml" "$ROUTES/$1.htpasswd" "$ROUTES/$1.pem"; do
    [ ! -e "$file" ] && [ ! -L "$file" ] || grep -qF "  $file" "$STATE/$1/inventory" 2>/dev/null || refuse "$file is not ours: only root takes it over"
  done
  [ -d "$STATE/$1" ] || [ ! -e "$RELEASES/$1" ] || refuse "$RELEASES/$1 is not ours: root may give it away by making the folder $STATE/$1"
  # systemd would give an existing folder to the app's user.
  [ -L "/var/lib/$1" ] || [ ! -e "/var/lib/$1" ] || [ -e "$STATE/$1/adopted" ] ||
    grep -qF "  $UNITS/$1@.service" "$STATE/$1/inventory" 2>/dev/null || refuse "/var/lib/$1 belongs to something else"
}

# arg KIND VALUE: refuse a value that is not of the kind, or of one of several kinds joined by |.
arg() {
  IFS='|'
  for kind in $1; do
    unset IFS
    "is_$kind" "$2" && return
  done
  unset IFS
  refuse "an argument is not a sound ${1#own_}"
}

# same FOLDER VALUE: refuse a value that is not this host's folder.
same() { [ "$1" = "$2" ] || refuse "where things lie on this host ($1) is not what was asked for: run reconcile bootstrap"; }

# choice VALUE WORD…: refuse a value that is none of the words.
choice() {
  value=$1
  shift
  for each; do [ "$value" != "$each" ] || return 0; done
  [ "$value" != adopt ] || refuse 'only root takes over what somebody else wrote'
  refuse "an argument is none of: $*"
}

# count NUMBER EXPECTED: refuse another number of arguments.
count() { [ "$1" = "$2" ] || refuse 'the number of arguments is wrong'; }

# every KIND VALUE…: refuse if one of the values is not of the kind.
every() {
  kind=$1
  shift
  for each; do arg "$kind" "$each"; done
}

# lease ARGUMENT…: judge the eleven arguments of the prelude.
lease() {
  same "$RELEASES" "$1" && same "$ENV" "$2" && same "$UNITS" "$3" && same "$STATE" "$4" && same "$ROUTES" "$5"
  arg token "$6"
  arg number "$7"
  arg holder "$8"
  arg owner "$9"
  shift 9
  arg token "$1"
  arg token "$2"
}
