"""What is missing for a bare machine to be a host: one survey → the steps, each with its reason. Pure.

The plan that people are shown and the work are this same function; after a bootstrap it must find nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.machine import Layout
from reconciler.provision.files import JOURNALD, NEEDRESTART, Files, Script, key_line
from reconciler.provision.survey import DEPLOY_USER, Mode, Survey
from reconciler.tools.host_program import PROGRAM, SUDOERS

SMALL_KIB = 1536 * 1024  # below this, a host without swap gets some
PROPOSED_SWAP_MIB = 1024
CONTROLLER = "/var/lib/reconcile-controller"  # deploy/systemd
PACKAGES = {
    **{"sudo": "sudo", "visudo": "sudo", "systemctl": "systemd", "tar": "tar", "useradd": "passwd"},
    **{"flock": "util-linux", "runuser": "util-linux", "find": "findutils", "awk": "mawk", "sed": "sed"},
    **{"sha256sum": "coreutils", "getent": "libc-bin"},
}


@dataclass(frozen=True)
class Asked:
    """What the person asked for: who may log in as the deploy user, and how much swap (None: as seems good)."""

    layout: Layout
    public_keys: tuple[str, ...]
    swap_mib: int | None = None


@dataclass(frozen=True)
class Step:
    """One change of the host, and why. An `optional` one may fail without the host being less of a host."""

    what: str
    reason: str
    script: Script
    optional: bool = False


@dataclass(frozen=True)
class Impossible:
    """Why this machine cannot become a host as it is, and what to do."""

    reason: str
    next_step: str


def steps(seen: Survey, asked: Asked) -> tuple[Step, ...] | Impossible:
    """What is left to do, in order. Nothing on a host that is as it should be."""
    packages = sorted({PACKAGES[program] for program in seen.missing if program in PACKAGES})
    if packages and "apt-get" in seen.missing:
        programs = ", ".join(sorted(set(seen.missing) & PACKAGES.keys()))
        return Impossible(
            f"it has no {programs}, and no apt-get to install them with",
            f"install {' '.join(packages)} there, then bootstrap again",
        )
    if seen.account and seen.account.home.startswith(CONTROLLER):
        return Impossible(
            f"its user {DEPLOY_USER} is that of a controller, which holds keys of its own",
            "use another machine, or let reconcile look after this one itself: hosts: [local]",
        )
    files = Files.of(asked.layout)
    found = [
        _packages(packages),
        _user(seen, asked),
        _rights(seen, files),
        _folders(seen, asked.layout),
        _quiet_system(seen, files),
        _swap(seen, asked),
    ]
    return tuple(step for step in found if step)


def notes(seen: Survey, asked: Asked) -> tuple[str, ...]:
    """What is left undone on purpose, and why."""
    if _swap_mib(seen, asked) and seen.container:
        return (f"no swap file: this is a container ({seen.container}), where its owner decides about swap",)
    return ()


def _packages(packages: list[str]) -> Step | None:
    if not packages:
        return None
    return Step("install packages", f"{', '.join(packages)} missing", Script("packages", tuple(packages)))


def _user(seen: Survey, asked: Asked) -> Step | None:
    lines = [key_line(key) for key in asked.public_keys]
    account = seen.account
    reasons = []
    if account is None:
        reasons.append("there is none")
    else:
        missing = [line for line in lines if line not in account.keys]
        if missing:
            reasons.append(f"{len(missing)} of {len(lines)} keys cannot log in yet")
        if account.password != "closed":  # noqa: S105
            reasons.append(f"its password is {account.password}")
        if account.shell != "/bin/sh":
            reasons.append(f"its shell is {account.shell}")
        if account.keys and account.key_modes != {".ssh": "700", ".ssh/authorized_keys": "600"}:
            reasons.append("others can read or change its .ssh")
    if not reasons:
        return None
    script = Script("user", (DEPLOY_USER,), text="".join(f"{line}\n" for line in lines))
    return Step(f"let user {DEPLOY_USER} in", "; ".join(reasons), script)


def _rights(seen: Survey, files: Files) -> Step | None:
    reasons = [
        f"{path} {why}"
        for path, permissions in ((PROGRAM, "755"), (SUDOERS, "440"))
        if (why := _difference(seen.files.get(path), files.sha256(path), permissions))
    ]
    if not reasons:
        return None
    texts = {"program": files.texts[PROGRAM], "sudoers": files.texts[SUDOERS]}
    return Step("give it its one program", "; ".join(reasons), Script("rights", (PROGRAM, SUDOERS), texts))


def _difference(found: Mode | None, sha256: str, permissions: str) -> str:
    if found is None:
        return "is not there"
    if found.sha256 != sha256:
        return "is of another version"
    if found.permissions != permissions or found.owner != "root:root":
        return f"is {found.permissions} {found.owner}, not {permissions} root:root"
    return ""


def folder_faults(seen: Survey, layout: Layout) -> list[str]:
    """Which folders are not there, or not root's alone."""
    private = {layout.env, layout.state}
    faults = []
    for path in (layout.releases, layout.env, layout.units, layout.state, _parent(layout.traefik), layout.traefik):
        folder = seen.folders.get(path)
        if folder is None:
            faults.append(f"{path} is not there")
        elif folder.kind != "d":
            faults.append(f"{path} is no folder")
        elif not folder.by_root_alone or (path in private and folder.permissions != "700"):
            faults.append(f"{path} is {folder.permissions} {folder.owner}")
    return faults


def _folders(seen: Survey, layout: Layout) -> Step | None:
    faults = folder_faults(seen, layout)
    if not faults:
        return None
    words = (layout.releases, layout.env, layout.units, layout.state, layout.traefik)
    return Step("make the folders", "; ".join(faults), Script("folders", words))


def _quiet_system(seen: Survey, files: Files) -> Step | None:
    reasons, put = [], {}
    if _difference(seen.files.get(NEEDRESTART), files.sha256(NEEDRESTART), "644"):
        reasons.append("needrestart may restart apps after an upgrade")
        put["needrestart"] = NEEDRESTART
    ours = seen.files.get(JOURNALD)
    if not seen.journald_cap or (ours and _difference(ours, files.sha256(JOURNALD), "644")) or seen.journald_reads_old:
        reasons.append("the journal may fill the disk")
        put["journald"] = JOURNALD
    if not reasons:
        return None
    texts = {"needrestart": files.texts[NEEDRESTART], "journald": files.texts[JOURNALD]}
    words = tuple(f"{name}={path}" for name, path in put.items())
    return Step("keep the system from disturbing apps", "; ".join(reasons), Script("quiet", words, texts))


def _swap(seen: Survey, asked: Asked) -> Step | None:
    mib = _swap_mib(seen, asked)
    if not mib or seen.container:
        return None
    total = seen.memory.get("MemTotal", 0) // 1024
    reason = "asked for" if asked.swap_mib else f"{total} MiB of memory and no swap"
    return Step(f"add {mib} MiB of swap", reason, Script("swap", (str(mib),)), optional=True)


def _swap_mib(seen: Survey, asked: Asked) -> int:
    """How much swap is to be made; 0 where there is some, or enough memory."""
    if seen.memory.get("SwapTotal", 0) > 0:
        return 0
    if asked.swap_mib is not None:
        return asked.swap_mib
    return PROPOSED_SWAP_MIB if 0 < seen.memory.get("MemTotal", 0) < SMALL_KIB else 0


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
