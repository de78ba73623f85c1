"""Judges a host: one survey → findings, each with a remedy. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from reconciler.model.machine import Layout
from reconciler.provision.files import JOURNALD, NEEDRESTART, Files
from reconciler.provision.steps import PACKAGES, folder_faults
from reconciler.provision.survey import DEPLOY_USER, Room, Survey
from reconciler.tools.host_program import PROGRAM, SUDOERS

Level = Literal["ok", "note", "problem"]
BOOTSTRAP = "reconcile bootstrap"
MOST_EXPOSED = 1.5  # on the scale of `systemd-analyze security`, where a unit at 0 may do nothing
LEAST_FREE_SHARE = 0.1
LEAST_FREE_KIB = 512 * 1024
LEAST_MEMORY_KIB = 64 * 1024
LARGEST_SKEW_SECONDS = 5
LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


@dataclass(frozen=True)
class Finding:
    """One thing that was examined. A note does not need action; a problem has a remedy."""

    subject: str
    level: Level
    says: str
    remedy: str = ""


@dataclass(frozen=True)
class Around:
    """Facts that the survey cannot have: how this machine reaches the host, and what it sees from here."""

    layout: Layout
    host_key_pinned: bool
    now_epoch_seconds: float
    api_port: int
    traefik: str  # why its API does not answer; "" if it does
    forwards: bool  # sshd forwards connections to ports of the host


def findings(seen: Survey, around: Around) -> tuple[Finding, ...]:
    """Return all findings, in the order in which an operator would fix them."""
    return (
        _rights(seen, around.layout),
        *_account(seen),
        _host_key(around),
        _forwarding(seen, around),
        _programs(seen),
        _folders(seen, around.layout),
        *(_room("disk", room, "make room: reconcile keeps keep_releases releases per app") for room in seen.disks),
        *(_room("inodes", room, "remove small files, or create a larger file system") for room in seen.inodes),
        *_noexec(seen, around.layout),
        *_memory(seen),
        _ports(seen),
        _clock(seen, around),
        *_traefik(seen, around),
        _dynamic_folder(seen),
        *_dynamic_files(seen),
        *_units(seen),
        _env(seen),
        _releases(seen),
        _needrestart(seen, around.layout),
        _journal(seen),
        _upgrades(seen),
    )


def _rights(seen: Survey, layout: Layout) -> Finding:
    says = {
        "root": "logs in as root",
        "sudo": "logs in as a user who may run anything through sudo",
        "verb": f"logs in as a user who may run {PROGRAM} only",
    }[seen.way if seen.way in ("root", "sudo") else "verb"]
    files = Files.of(layout)
    wrong = [
        path
        for path, permissions in ((PROGRAM, "755"), (SUDOERS, "440"))
        if (found := seen.files.get(path))
        and (found.permissions != permissions or found.owner != "root:root" or found.sha256 != files.sha256(path))
    ]
    if wrong:
        return Finding("root access", "problem", f"{says}; {', '.join(wrong)} is not as bootstrap wrote it", BOOTSTRAP)
    if seen.way == "verb":
        return Finding("root access", "ok", says)
    installed = PROGRAM in seen.files
    remedy = f"set user: {DEPLOY_USER} in fleet.yaml" if installed else f"{BOOTSTRAP}, then log in as {DEPLOY_USER}"
    return Finding("root access", "note", f"{says}: more than reconcile needs", remedy)


def _account(seen: Survey) -> list[Finding]:
    account = seen.account
    if account is None:
        return []
    faults = [f"is in the group {group}" for group in account.groups if group in ("root", "sudo", "wheel", "docker")]
    faults += [f"has a password that is {account.password}"] * (account.password != "closed")  # noqa: S105
    if not faults:
        return [Finding("deploy user", "ok", f"{DEPLOY_USER} logs in by key only")]
    remedy = f"{BOOTSTRAP}; gpasswd --delete {DEPLOY_USER} GROUP removes it from a group"
    return [Finding("deploy user", "problem", f"{DEPLOY_USER} {' and '.join(faults)}", remedy)]


def _host_key(around: Around) -> Finding:
    if around.host_key_pinned:
        return Finding("host key", "ok", "pinned in the desired state")
    return Finding("host key", "note", "only in ~/.ssh/known_hosts", f"{BOOTSTRAP} pins it in fleet.yaml")


def _forwarding(seen: Survey, around: Around) -> Finding:
    setting = {key: seen.sshd.get(key, "") for key in ("allowtcpforwarding", "disableforwarding", "permitopen")}
    off = setting["allowtcpforwarding"] in ("no", "remote") or setting["disableforwarding"] == "yes"
    if not around.forwards or off:
        remedy = f"AllowTcpForwarding local for {DEPLOY_USER} in /etc/ssh/sshd_config, then systemctl reload ssh"
        return Finding("sshd", "problem", "does not forward connections, so health checks cannot run", remedy)
    return Finding("sshd", "ok", "forwards to ports of the host")


def _programs(seen: Survey) -> Finding:
    missing = sorted(seen.missing & PACKAGES.keys())
    if missing:
        packages = " ".join(sorted({PACKAGES[program] for program in missing}))
        return Finding("programs", "problem", f"{', '.join(missing)} missing", f"apt-get install {packages}")
    return Finding("programs", "ok", "every program that reconcile needs is installed")


def _folders(seen: Survey, layout: Layout) -> Finding:
    if faults := folder_faults(seen, layout):
        return Finding("folders", "problem", "; ".join(faults), BOOTSTRAP)
    return Finding("folders", "ok", "only root can change them")


def _room(what: str, room: Room, remedy: str) -> Finding:
    free = room.free / room.total if room.total else 1.0
    little = free < LEAST_FREE_SHARE and (what != "disk" or room.free < LEAST_FREE_KIB * 4)
    says = f"{room.path} has {free:.0%} free" + (f" ({room.free // 1024} MiB)" if what == "disk" else "")
    return Finding(what, "problem", says, remedy) if little else Finding(what, "ok", says)


def _noexec(seen: Survey, layout: Layout) -> list[Finding]:
    """Where no program can be run: no release at all, or what an app puts into its state and runs from there."""
    found = []
    for folder, mount in seen.noexec.items():
        releases = folder == layout.releases
        of_what = "of a release" if releases else "in the state of an app"
        says = f"{mount} is mounted noexec, so no program {of_what} can be run"
        remedy = f"mount -o remount,exec {mount}, also in /etc/fstab"
        remedy += "; or another folder as paths.releases in fleet.yaml" if releases else ", if an app needs that"
        found.append(Finding("noexec", "problem" if releases else "note", says, remedy))
    return found


def _memory(seen: Survey) -> list[Finding]:
    total, free, swap = (seen.memory.get(key, 0) for key in ("MemTotal", "MemAvailable", "SwapTotal"))
    says = f"{free // 1024} of {total // 1024} MiB available, {swap // 1024} MiB of swap"
    if free < LEAST_MEMORY_KIB:
        found = Finding("memory", "problem", says, "stop a program, or use a larger machine")
    elif not swap and total < 1536 * 1024 and not seen.container:
        found = Finding("memory", "note", f"{says}: a second copy of an app may not fit", f"{BOOTSTRAP} --swap 1G")
    else:
        found = Finding("memory", "ok", says)
    if "memory" in seen.controllers:
        return [found, Finding("memory limits", "ok", "the kernel enforces memory_max")]
    says, remedy = "the kernel has no memory controller: memory_max has no effect", "boot with cgroup_enable=memory"
    level: Level = "note" if seen.container else "problem"
    return [found, Finding("memory limits", level, says, remedy)]


def _ports(seen: Survey) -> Finding:
    if seen.filters_ports and seen.controllers:
        return Finding("ports", "ok", "systemd lets an app listen on its own ports only, until its next daemon-reload")
    says = "systemd is built without BPF: an app may take the port of one that is down, until the next pass notices it"
    return Finding("ports", "note", says, "see docs/security.md; the systemd of Debian 13 confines apps to their ports")


def _clock(seen: Survey, around: Around) -> Finding:
    skew = seen.now_epoch_seconds - around.now_epoch_seconds
    says = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    if abs(skew) > LARGEST_SKEW_SECONDS:
        return Finding("clock", "problem", says, "timedatectl set-ntp true, on both machines")
    if not seen.clock_kept and not seen.container:
        return Finding("clock", "note", "correct, but nothing synchronises it", "timedatectl set-ntp true")
    return Finding("clock", "ok", "correct")


def _traefik(seen: Survey, around: Around) -> list[Finding]:
    api = f"{around.api_port:04X}"
    public = [
        address
        for address in seen.listening
        if address.endswith(f":{api}") and address.rpartition(":")[0] not in LOOPBACK
    ]
    found = []
    if around.traefik:
        remedy = "journalctl -u traefik; see deploy/traefik/README.md"
        found.append(Finding("traefik", "problem", f"does not answer: {around.traefik}", remedy))
    else:
        found.append(Finding("traefik", "ok", f"answers on 127.0.0.1:{around.api_port}"))
    if public:
        remedy = f'set address: "127.0.0.1:{around.api_port}" for its entry point in traefik.yml'
        says = f"its API on port {around.api_port} is reachable from other machines"
        found.append(Finding("traefik", "problem", says, remedy))
    return found


def _dynamic_folder(seen: Survey) -> Finding:
    loose = sorted(name for name, mode in seen.dynamic.items() if not mode.by_root_alone)
    if loose:
        says = f"others can change {', '.join(loose[:3])} in Traefik's folder, and so take over any domain"
        return Finding("routes", "problem", says, "chown root:root and chmod 0644 there")
    return Finding("routes", "ok", f"{len(seen.dynamic)} files that only root can change")


def _dynamic_files(seen: Survey) -> list[Finding]:
    bad = [(name, why) for name, text in sorted(seen.contents.items()) if (why := _why_unreadable(name, text))]
    return [
        Finding("routes", "problem", f"{name} cannot be read ({why}): it freezes the routes of every app", "fix it")
        for name, why in bad
    ]


def _why_unreadable(name: str, text: str) -> str:
    """Say why Traefik cannot read the file; "" if it can, or if its Go template would have to be run first."""
    import tomllib

    import yaml

    if "{{" in text:
        return ""
    try:
        content: Any = tomllib.loads(text) if name.endswith(".toml") else yaml.safe_load(text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        return " ".join(str(error).split())[:120]
    return "" if content is None or isinstance(content, dict) else "it is not a mapping"


def _units(seen: Survey) -> list[Finding]:
    exposed = sorted((unit, value) for unit, value in seen.exposure.items() if value > MOST_EXPOSED)
    if not seen.exposure:
        return [Finding("sandbox", "ok", "no app runs")]
    if exposed:
        named = ", ".join(f"{unit} {value}" for unit, value in exposed)
        remedy = "turn on again what the app's `sandbox` turns off"
        return [Finding("sandbox", "note", f"exposure above {MOST_EXPOSED}: {named}", remedy)]
    return [Finding("sandbox", "ok", f"exposure of the apps is at most {max(seen.exposure.values())}")]


def _env(seen: Survey) -> Finding:
    loose = sorted(
        path
        for path, mode in seen.env.items()
        if not mode.owner.startswith("root:") or int(mode.permissions, 8) & 0o077
    )
    if loose:
        remedy = f"chown root: and chmod go= {' '.join(loose[:3])}"
        return Finding("env files", "problem", f"others can read the secrets in {', '.join(loose[:3])}", remedy)
    return Finding("env files", "ok", "only root can read them")


def _releases(seen: Survey) -> Finding:
    if seen.loose:
        says = f"others can change the code that runs: {', '.join(seen.loose)}"
        return Finding("releases", "problem", says, "remove the release; reconcile installs it again")
    return Finding("releases", "ok", "owned by root, read-only for the apps")


def _needrestart(seen: Survey, layout: Layout) -> Finding:
    found = seen.files.get(NEEDRESTART)
    if found and found.sha256 == Files.of(layout).sha256(NEEDRESTART):
        return Finding("needrestart", "ok", "leaves apps alone")
    level: Level = "note" if "needrestart" in seen.missing else "problem"
    return Finding("needrestart", level, "may restart apps when a library is upgraded", BOOTSTRAP)


def _journal(seen: Survey) -> Finding:
    if not seen.journald_cap:
        return Finding("journal", "problem", "may take a tenth of the disk", f"{BOOTSTRAP} writes {JOURNALD}")
    if seen.journald_reads_old:
        return Finding("journal", "problem", "its limit is not in force yet", "systemctl restart systemd-journald")
    return Finding("journal", "ok", f"takes at most {seen.journald_cap}")


def _upgrades(seen: Survey) -> Finding:
    enabled = {unit for unit, (state, _) in seen.units.items() if state == "enabled"}
    if {"unattended-upgrades.service", "apt-daily-upgrade.timer"} <= enabled:
        return Finding("upgrades", "ok", "security fixes are installed automatically")
    return Finding(
        "upgrades", "note", "security fixes are not installed automatically", "apt-get install unattended-upgrades"
    )
