# plain releases env units state traefik: what this host is like, for bootstrap and doctor. Nothing is changed.
# A file that its user may have planted is read as that user: root would follow a link to /etc/shadow.
RELEASES=$1 ENV=$2 UNITS=$3 STATE=$4 ROUTES=$5
LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
export LC_ALL PATH

# survey: print everything, a line each.
survey() {
  survey_system
  survey_login
  survey_files
  survey_machine
  survey_settings
  survey_apps
  survey_routes
}

# survey_system: print how this login became root, what the system is, and which programs are missing.
survey_system() {
  echo "way ${WAY:-$([ -n "$SUDO_USER" ] && echo sudo || echo root)}"
  # shellcheck disable=SC1091 # a file of the host's
  (. /etc/os-release && echo "os $ID $VERSION_ID") 2>/dev/null
  echo "container $(systemd-detect-virt --container 2>/dev/null)"
  for program in apt-get awk find flock getent needrestart runuser sed sha256sum sudo systemctl tar useradd visudo; do
    command -v "$program" >/dev/null || echo "missing $program"
  done
}

# survey_login: print what the login reconcile is like, and its keys.
survey_login() {
  account=$(getent passwd reconcile) || return
  echo "user $account"
  case $(getent shadow reconcile | cut -d: -f2) in
    '') echo 'password empty' ;;
    [!*]*) echo 'password set' ;;
    *) echo 'password closed' ;;
  esac
  echo "groups $(id -Gn reconcile)"
  runuser -u reconcile -- sh -c 'cd && stat -c "keys %n %a" .ssh .ssh/authorized_keys; head -c 65536 .ssh/authorized_keys | sed "s/^/key /"' 2>/dev/null
}

# survey_files: print the files that bootstrap writes, and the folders.
survey_files() {
  for file in /usr/local/sbin/reconcile-host /etc/sudoers.d/reconcile /etc/needrestart/conf.d/reconcile.conf \
    /etc/systemd/journald.conf.d/10-reconcile.conf; do
    [ ! -f "$file" ] || {
      stat -c 'file %n %a %U:%G' "$file"
      sha256sum "$file" | sed 's/^/sum /'
    }
  done
  for folder in "$RELEASES" "$ENV" "$UNITS" "$STATE" "${ROUTES%/*}" "$ROUTES"; do
    find "$folder" -maxdepth 0 -printf 'folder %p %y %m %u:%g\n' 2>/dev/null
  done
}

# survey_machine: print disks, memory, the clock and what the kernel and systemd can do.
survey_machine() {
  df -Pk "$RELEASES" /var / 2>/dev/null | awk 'NR>1 && !seen[$6]++ {print "disk", $6, $2, $4}'
  # shellcheck disable=SC2046 # two lines of one word
  for folder in "$RELEASES" /var/lib; do
    set -- $(findmnt -rno TARGET,OPTIONS --target "$folder" 2>/dev/null | tail -n 1)
    case ,$2, in *,noexec,*) echo "noexec $folder $1" ;; esac
  done
  df -Pi "$RELEASES" /var / 2>/dev/null | awk 'NR>1 && !seen[$6]++ {print "inodes", $6, $2, $4}'
  sed -n 's/^\(MemTotal\|MemAvailable\|SwapTotal\): *\([0-9]*\) kB/memory \1 \2/p' /proc/meminfo
  echo "now $(date +%s)"
  echo "ntp $(timedatectl show -p NTPSynchronized --value 2>/dev/null)"
  echo "controllers $(cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null) $([ ! -d /sys/fs/cgroup/memory ] || echo memory)"
  case $(systemctl --version 2>/dev/null) in *+BPF_FRAMEWORK*) echo 'has ports' ;; esac
}

# survey_settings: print those of sshd and journald, the units of the system that matter, and who listens.
survey_settings() {
  sshd -T -C user=reconcile,host=localhost,addr=127.0.0.1 2>/dev/null |
    sed -n 's/^\(allowtcpforwarding\|disableforwarding\|permitopen\|permitrootlogin\|passwordauthentication\|allowusers\|allowgroups\|denyusers\) /sshd \1 /p'
  systemd-analyze cat-config systemd/journald.conf 2>/dev/null | sed -n 's/^SystemMaxUse=\(.\)/journald \1/p' | tail -n 1
  since=$(date -d "$(systemctl show -P ActiveEnterTimestamp systemd-journald)" +%s 2>/dev/null)
  written=$(stat -c %Y /etc/systemd/journald.conf.d/10-reconcile.conf 2>/dev/null)
  [ "${since:-0}" -ge "${written:-0}" ] || echo 'journald-reads old'
  for unit in unattended-upgrades.service apt-daily-upgrade.timer traefik.service; do
    enabled=$(systemctl is-enabled "$unit" 2>/dev/null)
    echo "unit $unit ${enabled:-none} $(systemctl is-active "$unit" 2>/dev/null)"
  done
  awk 'FNR>1 && $4=="0A" {print "listen", $2}' /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u
}

# survey_apps: print the env files, the apps, which files of theirs others may write, and how exposed each unit is.
survey_apps() {
  find "$ENV" -mindepth 1 '(' -name '*[! -~]*' -prune -printf 'env ? %y %m %u:%g\n' ')' -o -printf 'env %p %y %m %u:%g\n' 2>/dev/null
  units=
  for folder in "$STATE"/*/; do
    app=${folder%/} app=${app##*/}
    case $app in *[!0-9a-z_-]*) continue ;; esac
    echo "app $app"
    find "$RELEASES/$app/releases" '(' ! -user root -o ! -type l -perm /022 ')' -printf 'loose %p %m %u\0' 2>/dev/null |
      head -z -n 3 | tr -c '\0 -~' '?' | tr '\0' '\n'
    units="$units $(systemctl list-units --plain --no-legend --state=active "$app@*" | cut -d' ' -f1)"
  done
  for unit in $units; do
    systemd-analyze security --no-pager "$unit" 2>/dev/null | sed -n "s/.*Overall exposure level for .*: \([0-9.]*\) .*/exposure $unit \1/p"
  done
}

# survey_routes: print what is in the folder that Traefik watches, and the text of what everybody may read.
survey_routes() {
  find "$ROUTES" -mindepth 1 '(' -name '*[! -~]*' -prune -printf 'dynamic ? %y %m %u:%g\n' ')' -o \
    -printf 'dynamic %P %y %m %u:%g\n' 2>/dev/null
  for file in "$ROUTES"/*.yml "$ROUTES"/*.yaml "$ROUTES"/*.toml; do
    [ -f "$file" ] && [ ! -L "$file" ] && [ -n "$(find "$file" -perm -o=r)" ] || continue
    case ${file##*/} in *[!\ -~]*) continue ;; esac
    echo "content ${file##*/}"
    head -c 1048576 "$file" | sed 's/^/| /'
    echo
  done
}

text=$(survey)
printf '@@ survey - %s\n%s\n@@ end - 0\n\n' "${#text}" "$text"
