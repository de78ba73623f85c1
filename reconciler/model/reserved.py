"""Names that are taken on a Debian server, and environment variables that are set elsewhere, each with its owner.

An app's name becomes a user (DynamicUser), a unit `<name>@.service`, and the folders /var/lib/<name> and /run/<name>.
A name from this list would take over what is there: systemd moves an existing /var/lib/<name> aside for a dynamic
user, `getty@.service` in /etc hides Debian's own, and an app called `docker` would be in the group docker.
"""

from __future__ import annotations

import re

_USERS_AND_GROUPS = """
    root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody nogroup
    messagebus polkitd sshd ssh adm tty disk kmem dialout fax voice cdrom floppy tape sudo audio dip operator
    src shadow utmp video sasl plugdev staff users input kvm render sgx crontab netdev docker ubuntu debian
    admin vagrant ec2-user pollinate syslog
"""
_USERS_OF_PACKAGES = """
    tss uuidd ntp ntpsec chrony tcpdump avahi postgres mysql redis memcache mongodb rabbitmq nginx apache haproxy
    caddy postfix postdrop opendkim dovecot dovenull exim debian-exim bind named unbound epmd git gitlab jenkins
    prometheus grafana munin zabbix nagios fwupd-refresh landscape lxd libvirt libvirt-qemu tor ftp tftp rtkit statd
"""
_UNITS = """
    getty serial-getty console-getty container-getty autovt modprobe user user-runtime-dir ifup quotaon
    lvm2-pvscan e2scrub dpkg-db-backup initrd cron dbus container init runlevel usb
"""
_UNITS_OF_PACKAGES = """
    wg-quick openvpn openvpn-client openvpn-server postgresql redis-server mariadb containerd
"""
_FOLDERS = """
    apt dpkg logrotate pam ucf python private misc aptitude apparmor ca-certificates initramfs-tools grub
    os-prober vim polkit-1 nfs rpcbind snapd swap cloud ieee-data lock log mount network shm udev credentials
    resolvconf sendsigs lost-found
"""
_OURS = "traefik reconcile reconcile-epmd reconciler local"

_OF_A_PACKAGE = "a name that a Debian package uses for its"
APP_NAMES: dict[str, str] = {
    **dict.fromkeys(_FOLDERS.split(), "a folder of the system in /var/lib or /run"),
    **dict.fromkeys(_UNITS.split(), "a unit of the system"),
    **dict.fromkeys(_USERS_AND_GROUPS.split(), "a user or group of the system"),
    **dict.fromkeys(_UNITS_OF_PACKAGES.split(), f"{_OF_A_PACKAGE} unit, installed or not"),
    **dict.fromkeys(_USERS_OF_PACKAGES.split(), f"{_OF_A_PACKAGE} user, installed or not"),
    **dict.fromkeys(_OURS.split(), "a name that reconcile uses itself"),
}

_SYSTEM_FOLDERS = """
    bin boot dev etc home lib lib32 lib64 libx32 lost+found media mnt opt proc root run sbin srv sys tmp usr var
    etc/apt etc/cron.d etc/default etc/init.d etc/pam.d etc/profile.d etc/security etc/ssh etc/ssl etc/sudoers.d
    etc/systemd etc/systemd/system etc/systemd/user etc/traefik etc/udev root/.ssh usr/local usr/local/bin
    usr/local/etc usr/local/lib usr/local/sbin usr/local/share var/backups var/cache var/lib var/lib/apt
    var/lib/dpkg var/lib/private var/lib/systemd var/local var/log var/mail var/opt var/spool var/tmp var/www
"""
SYSTEM_FOLDERS = frozenset(f"/{path}" for path in _SYSTEM_FOLDERS.split())
_ALL_BELOW = ("/bin/", "/boot/", "/dev/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/proc/", "/sbin/", "/sys/")
_FIT_FOR = {
    "releases": {"/opt", "/srv", "/mnt", "/media"},
    "units": {"/etc/systemd/system", "/etc/systemd/user"},
    "traefik": {"/etc/traefik"},
}

_SYSTEMD = "systemd sets it"
ENV_KEYS: dict[str, str] = {
    "PORT": "it is the slot's port; see `ports`",
    "RELEASE_DISTRIBUTION": "set `distribution` instead",
    **dict.fromkeys(
        ["RELEASE_NODE", "RELEASE_TMP", "ERL_CRASH_DUMP"], "it differs from slot to slot, so reconcile sets it"
    ),
    **dict.fromkeys(
        ["RELEASE_ROOT", "RELEASE_NAME", "RELEASE_VSN"], "it would start a different release than `version` says"
    ),
    **dict.fromkeys(["LD_PRELOAD", "LD_AUDIT"], "it loads code into every program of the unit; set it inside `start`"),
    "PATH": "the unit's own commands need it; set it inside `start`, as in `env PATH=... bin/app start`",
    **dict.fromkeys(["HOME", "USER", "LOGNAME", "SHELL"], _SYSTEMD),
    **dict.fromkeys(["INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MAINPID", "MANAGERPID"], _SYSTEMD),
    **dict.fromkeys(["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"], _SYSTEMD),
    **dict.fromkeys(["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "CREDENTIALS_DIRECTORY"], _SYSTEMD),
    **dict.fromkeys(["RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CACHE_DIRECTORY"], _SYSTEMD),
    **dict.fromkeys(["LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY"], _SYSTEMD),
}


APP_NAME = r"[a-z][a-z0-9_-]{0,30}"


def is_app_name(text: str) -> bool:
    """True for a name that an app may have, or the managed Traefik's. The rule is the same for YAML and for hosts."""
    return bool(re.fullmatch(APP_NAME, text)) and (text == "traefik" or why_app_name_is_taken(text) is None)


def why_app_name_is_taken(name: str) -> str | None:
    """The owner of this name, such as "a unit of the system"; None if it is free."""
    if name.startswith("systemd"):
        return "a name of systemd"
    return APP_NAMES.get(name)


def other_app_name(name: str) -> str:
    """A free name for an app that may not be called `name`."""
    return f"{name[:27]}-web" if name != "local" and not name.startswith("systemd") else "my-app"


def is_system_folder(path: str, purpose: str) -> bool:
    """True if a host may not use this folder for `purpose`, a key of its `paths`.

    Our files would be among files that the system needs, and the folders for env and state are closed to all users but
    root. Whether anything else is in the folder already is checked on the host.
    """
    if path in SYSTEM_FOLDERS or path.startswith(_ALL_BELOW):
        return path not in _FIT_FOR.get(purpose, set())
    below_programs = path.startswith(("/usr/", "/run/")) and not path.startswith("/usr/local/")
    return purpose in ("env", "state") and below_programs


def why_env_key_is_taken(key: str) -> str | None:
    """The reason why `env` may not set this key; None if it may."""
    if key.startswith("RECONCILE_"):
        return "keys that start with RECONCILE_ are reserved"
    return ENV_KEYS.get(key)


_IN_THE_START_SCRIPT = """
    C E I S MODE LENGTH SELF VAL ERL ERL_EXEC ERTS_BIN ELIXIR_VERSION REL_EXEC REL_VSN_DIR SCRIPT_PATH
    DEFAULT_SYS_CONFIG
"""
SET_BY_ELIXIR = frozenset(_IN_THE_START_SCRIPT.split())
"""Variables that bin/<app> of a mix release overwrites, according to the script of Elixir 1.14."""
SET_FOR_DISTRIBUTION = frozenset(["ERL_EPMD_PORT", "ERL_EPMD_ADDRESS", "ERL_ZFLAGS"])
"""Variables that control how the nodes of a host find each other; free to use if `distribution` is none."""
