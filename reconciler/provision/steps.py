"""The steps that turn a bare machine into a host: one survey → the steps, each with its reason. Pure.

The same function makes the plan that the operator sees and the work. After a bootstrap it must find nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.machine import Layout
from reconciler.provision.files import JOURNALD, NEEDRESTART, Files, Script, key_line
from reconciler.provision.survey import DEPLOY_USER, Mode, Survey
from reconciler.tools.host_program import PROGRAM, SUDOERS

SMALL_KIB = 1536 * 1024  # a host with less memory and no swap gets a swap file
PROPOSED_SWAP_MIB = 1024
CONTROLLER = "/var/lib/reconcile-controller"  # deploy/systemd
PACKAGES = {
    **{"sudo": "sudo", "visudo": "sudo", "systemctl": "systemd", "tar": "tar", "useradd": "passwd"},
    **{"flock": "util-linux", "runuser": "util-linux", "find": "findutils", "awk": "mawk", "sed": "sed"},
    **{"sha256sum": "coreutils", "getent": "libc-bin"},
}


@dataclass(frozen=True)
class Asked:
    """The operator's choices: the keys that may log in as the deploy user, and the swap (None: a default).

    `opens` has the places on other machines that the keys may connect to, as `permitopen` names them.
    """

    layout: Layout
    public_keys: tuple[str, ...]
    swap_mib: int | None = None
    opens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One change of the host and its reason. If an `optional` one fails, the bootstrap still succeeds."""

    what: str
    reason: str
    script: Script
    optional: bool = False


@dataclass(frozen=True)
class Impossible:
    """The reason why this machine cannot become a host, and what to do about it."""

    reason: str
    next_step: str


def steps(seen: Survey, asked: Asked) -> tuple[Step, ...] | Impossible:
    """Return the steps that are left to do, in order: none on a host that is complete."""
    packages = sorted({PACKAGES[program] for program in seen.missing if program in PACKAGES})
    if packages and "apt-get" in seen.missing:
        programs = ", ".join(sorted(set(seen.missing) & PACKAGES.keys()))
        return Impossible(
            f"it has no {programs}, and no apt-get to install them with",
            f"install {' '.join(packages)} there, then run bootstrap again",
        )
    if seen.account and seen.account.home.startswith(CONTROLLER):
        return Impossible(
            f"its user {DEPLOY_USER} belongs to a controller, which holds the keys to other hosts",
            "use another machine, or let the controller manage its own: hosts: [local]",
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
    """Return remarks on what bootstrap leaves out on purpose, each with its reason."""
    if _swap_mib(seen, asked) and seen.container:
        return (f"no swap file: this is a container ({seen.container}), whose host decides about swap",)
    return ()


def _packages(packages: list[str]) -> Step | None:
    if not packages:
        return None
    return Step("install packages", f"{', '.join(packages)} missing", Script("packages", tuple(packages)))


def _user(seen: Survey, asked: Asked) -> Step | None:
    lines = [key_line(key, asked.opens) for key in asked.public_keys]
    account = seen.account
    reasons = []
    if account is None:
        reasons.append("it does not exist")
    else:
        missing = [line for line in lines if line not in account.keys]
        known = [line for line in missing if any(each.endswith(line.partition(" ")[2]) for each in account.keys)]
        if known:
            reasons.append(f"{len(known)} of {len(lines)} keys may not connect to the places that they should")
        if len(missing) > len(known):
            reasons.append(f"{len(missing) - len(known)} of {len(lines)} keys cannot log in yet")
        if account.password != "closed":  # noqa: S105
            reasons.append(f"its password is {account.password}")
        if account.shell != "/bin/sh":
            reasons.append(f"its shell is {account.shell}")
        if account.keys and account.key_modes != {".ssh": "700", ".ssh/authorized_keys": "600"}:
            reasons.append("others can read or change its .ssh")
    if not reasons:
        return None
    script = Script("user", (DEPLOY_USER,), text="".join(f"{line}\n" for line in lines))
    return Step(f"let user {DEPLOY_USER} log in", "; ".join(reasons), script)


def _rights(seen: Survey, files: Files) -> Step | None:
    reasons = [
        f"{path} {why}"
        for path, permissions in ((PROGRAM, "755"), (SUDOERS, "440"))
        if (why := _difference(seen.files.get(path), files.sha256(path), permissions))
    ]
    if not reasons:
        return None
    texts = {"program": files.texts[PROGRAM], "sudoers": files.texts[SUDOERS]}
    return Step("let it run one program as root", "; ".join(reasons), Script("rights", (PROGRAM, SUDOERS), texts))


def _difference(found: Mode | None, sha256: str, permissions: str) -> str:
    if found is None:
        return "is missing"
    if found.sha256 != sha256:
        return "belongs to another version"
    if found.permissions != permissions or found.owner != "root:root":
        return f"is {found.permissions} {found.owner}, not {permissions} root:root"
    return ""


def folder_faults(seen: Survey, layout: Layout) -> list[str]:
    """Return a sentence for every folder that is missing, or that others than root can change."""
    private = {layout.env, layout.state}
    faults = []
    for path in (layout.releases, layout.env, layout.units, layout.state, _parent(layout.traefik), layout.traefik):
        folder = seen.folders.get(path)
        if folder is None:
            faults.append(f"{path} is missing")
        elif folder.kind != "d":
            faults.append(f"{path} is not a folder")
        elif not folder.by_root_alone or (path in private and folder.permissions != "700"):
            faults.append(f"{path} is {folder.permissions} {folder.owner}")
    return faults


def _folders(seen: Survey, layout: Layout) -> Step | None:
    faults = folder_faults(seen, layout)
    if not faults:
        return None
    words = (layout.releases, layout.env, layout.units, layout.state, layout.traefik)
    return Step("create the folders", "; ".join(faults), Script("folders", words))


def _quiet_system(seen: Survey, files: Files) -> Step | None:
    reasons, paths = [], {}
    if _difference(seen.files.get(NEEDRESTART), files.sha256(NEEDRESTART), "644"):
        reasons.append("needrestart may restart apps after an upgrade")
        paths["needrestart"] = NEEDRESTART
    ours = seen.files.get(JOURNALD)
    if not seen.journald_cap or (ours and _difference(ours, files.sha256(JOURNALD), "644")) or seen.journald_reads_old:
        reasons.append("the journal may fill the disk")
        paths["journald"] = JOURNALD
    if not reasons:
        return None
    texts = {"needrestart": files.texts[NEEDRESTART], "journald": files.texts[JOURNALD]}
    words = tuple(f"{name}={path}" for name, path in paths.items())
    return Step("keep the system from disturbing apps", "; ".join(reasons), Script("quiet", words, texts))


def _swap(seen: Survey, asked: Asked) -> Step | None:
    mib = _swap_mib(seen, asked)
    if not mib or seen.container:
        return None
    total = seen.memory.get("MemTotal", 0) // 1024
    reason = "requested with --swap" if asked.swap_mib else f"{total} MiB of memory and no swap"
    return Step(f"add {mib} MiB of swap", reason, Script("swap", (str(mib),)), optional=True)


def _swap_mib(seen: Survey, asked: Asked) -> int:
    """Return the size of the swap file to create; 0 if the host has swap or enough memory."""
    if seen.memory.get("SwapTotal", 0) > 0:
        return 0
    if asked.swap_mib is not None:
        return asked.swap_mib
    return PROPOSED_SWAP_MIB if 0 < seen.memory.get("MemTotal", 0) < SMALL_KIB else 0


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
