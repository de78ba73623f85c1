"""`reconcile bootstrap [user@]HOST[:port]`: make a bare server a host, and write its entry in fleet.yaml."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.apply.runner import tar_of
from reconciler.desired_state.add_host import add_host, read_fleet_of
from reconciler.desired_state.load import label, load
from reconciler.errors import ActionFailed, HostError, HostKeyRefused, HostRefused, ReconcileError, UsageError
from reconciler.host.hostkey import ShownKey, ask_host_key
from reconciler.host.ssh import SshHost
from reconciler.host.transport import Command, Transport
from reconciler.model.addresses import split_target
from reconciler.model.desired import HostSpec
from reconciler.model.options import Options
from reconciler.provision.files import shell_text
from reconciler.provision.look import survey
from reconciler.provision.neighbours import places_to_open
from reconciler.provision.steps import Asked, Impossible, Step, notes, steps
from reconciler.provision.survey import DEPLOY_USER, Survey
from reconciler.words import printable

STEP_SECONDS = 600  # a step may download packages
USUAL_KEYS = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")
_KEY = re.compile(r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+) AAAA[A-Za-z0-9+/]+=*( [ -~]*)?")
_SIZES = {"M": 1, "G": 1024}


@dataclass(frozen=True)
class Machine:
    """The machine to bootstrap: its name in fleet.yaml, how to reach it, and its entry there, if any."""

    name: str
    user: str | None
    address: str
    port: int | None
    spec: HostSpec | None


def run(options: Options) -> int:
    """Return 0 when the server is a host (or a dry run printed the script), 1 when the plan was not confirmed."""
    return asyncio.run(_bootstrap(options))


async def _bootstrap(options: Options) -> int:
    machine = _machine(options)
    keys = _public_keys(options.key)
    swap = _mib(options.swap) if options.swap else None
    shown = await ask_host_key(
        machine.name, machine.address, machine.port, fingerprint=options.host_key, pinned=_pinned_key(machine)
    )
    _confirm_host_key(machine, shown, options)
    user = machine.user or shown.login
    host = SshHost(machine.name, machine.address, user=user, port=machine.port, host_key=shown.line)
    layout = (machine.spec or HostSpec(address=machine.address)).paths
    asked = Asked(layout, keys, swap, _places_to_open(options, machine))
    try:
        seen = await survey(host, layout, as_root=True)
        plan = steps(seen, asked)
        if isinstance(plan, Impossible):
            raise HostRefused(machine.name, plan.reason, plan.next_step)
        if options.dry_run:
            print(shell_text([step.script for step in plan]), end="")
            return 0
        _print_plan(machine, shown, seen, plan, notes(seen, asked), options)
        if plan and not _confirm_plan(options):
            return 1
        remarks = await _carry_out(host, asked, plan, (lambda text: None) if options.json else _print_progress)
    finally:
        await host.close()
    await _try_login_as_deploy_user(machine, shown, asked, own_keys=not options.key)
    return _enlist_host(machine, shown, plan, remarks, options)


def _machine(options: Options) -> Machine:
    try:
        user, address, port = split_target(options.target)
    except ValueError as error:
        raise UsageError(str(error), "write [user@]HOST[:port], an IPv6 address in [ ]") from None
    if address == "local":
        raise UsageError("local needs no bootstrap", "reconcile itself runs there as root, see deploy/README.md")
    if options.environment:
        next_step = f"leave it out, then move the host to environments/{options.environment}.yaml"
        raise UsageError("bootstrap writes the host into fleet.yaml, whatever --environment says", next_step)
    hosts = read_fleet_of(options.desired_state).hosts
    machine = (address.lower(), port or 22)
    name = options.name or next((n for n, spec in hosts.items() if n == address or spec.machine == machine), address)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise UsageError(f"{name} is not a valid host name for fleet.yaml", "--name web1")
    spec = hosts.get(name)
    if spec and name == address:
        return Machine(name, user, spec.address, port or spec.port, spec)
    return Machine(name, user, address, port, spec)


def _places_to_open(options: Options, machine: Machine) -> tuple[str, ...]:
    """Return what the host has to let the controller reach if the desired state on disk has it as an edge."""
    if machine.spec is None:
        return ()
    try:
        return places_to_open(load(options.desired_state, working_tree=True, valid_only=True), machine.name)
    except ReconcileError:
        return ()  # whatever is wrong there keeps nobody from making a host


def _public_keys(files: tuple[Path, ...] | None) -> tuple[str, ...]:
    """Return the controllers' public keys: those in `files`, or else those in ~/.ssh."""
    folder = Path("~/.ssh").expanduser()
    paths = files or [path for name in USUAL_KEYS if (path := folder / name).is_file()]
    if not paths:
        raise UsageError(f"there is no public key in {folder}", "run ssh-keygen -t ed25519, or pass --key FILE")
    return tuple(_public_key(path) for path in paths)


def _public_key(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "name a file such as ~/.ssh/id_ed25519.pub") from error
    if not _KEY.fullmatch(text):
        private = "PRIVATE KEY" in text
        what = (
            "a private key, which must not leave this machine" if private else "not an OpenSSH public key on one line"
        )
        raise UsageError(f"{path} is {what}", f"name {path}.pub" if private else "name a file such as id_ed25519.pub")
    return text


def _mib(size: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([MG])", size)
    if not found:
        raise UsageError(f"--swap {size!r} is not a size", "write 512M or 1G")
    return int(found[1]) * _SIZES[found[2]]


def _confirm_host_key(machine: Machine, shown: ShownKey, options: Options) -> None:
    """Raise HostKeyRefused unless the operator, the desired state or known_hosts confirms this exact key."""
    compare = "compare it with the provider's console"
    if reason := _why_not_this_key(shown, options.host_key, _pinned_key(machine)):
        more = ", then --host-key" if not options.host_key and shown.known != "revoked" else ""
        raise HostKeyRefused(machine.name, reason, compare + more)
    if options.host_key or _pinned_key(machine) or shown.known == "known":
        return
    kind = shown.line.partition(" ")[0]
    print(f"{machine.name} shows the host key {shown.fingerprint} ({kind}), which is not verified", file=sys.stderr)
    if not _ask(f"Is this the key that your provider's console shows? {shown.fingerprint} [y/N] "):
        raise HostKeyRefused(
            machine.name,
            f"its host key is not verified: {shown.fingerprint}",
            f"{compare}, then --host-key {shown.fingerprint}",
        )


def _why_not_this_key(shown: ShownKey, stated: str | None, pinned: str | None) -> str | None:
    """Return why this key must be refused, or None. --host-key overrides fleet.yaml, which overrides known_hosts."""
    if shown.known == "revoked":
        return f"it shows {shown.fingerprint}, which known_hosts marks @revoked"
    if stated:
        all_shown = ", ".join((shown.fingerprint, *shown.others))
        return f"it shows {all_shown}, not {stated}" if shown.fingerprint != stated else None
    if pinned:
        return f"it shows {shown.fingerprint}, not the host_key in fleet.yaml" if shown.line != pinned else None
    if shown.known == "changed":
        return f"it shows {shown.fingerprint}, but known_hosts has another key for this host"
    return None


def _pinned_key(machine: Machine) -> str | None:
    """Return the kind and the key of `host_key` in fleet.yaml, without its comment."""
    written = machine.spec.host_key if machine.spec else None
    return " ".join(written.split()[:2]) if written else None


def _ask(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_plan(
    machine: Machine,
    shown: ShownKey,
    seen: Survey,
    plan: tuple[Step, ...],
    remarks: tuple[str, ...],
    options: Options,
) -> None:
    if options.json:
        if not options.yes:
            print(json.dumps(_report(machine, shown, plan, remarks, "planned" if plan else "converged"), indent=2))
        return
    os = f"{seen.os}, " if seen.os else ""
    print(f"{machine.name}: {os}host key {shown.fingerprint}", file=sys.stderr)
    for step in plan:
        print(f"  {step.what:<40}  {step.reason}")
    for remark in remarks:
        print(f"  {remark}")
    if not plan:
        print("  nothing to do")
    sys.stdout.flush()


def _report(
    machine: Machine, shown: ShownKey, plan: tuple[Step, ...], remarks: tuple[str, ...], outcome: str
) -> dict[str, object]:
    return {
        "host": machine.name,
        "address": machine.address,
        "host_key": shown.line,
        "fingerprint": shown.fingerprint,
        "outcome": outcome,
        "steps": [{"what": step.what, "reason": step.reason} for step in plan],
        "notes": list(remarks),
    }


def _confirm_plan(options: Options) -> bool:
    if options.yes or (not options.json and _ask("Do this? [y/N] ")):
        return True
    if not options.json:
        print("nothing was changed\nnext: pass --yes to go on, or --dry-run to print the script", file=sys.stderr)
    return False


def _print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _carry_out(
    host: Transport, asked: Asked, plan: tuple[Step, ...], report_progress: Callable[[str], None]
) -> tuple[str, ...]:
    """Run the steps, survey the host again, and return remarks for the operator.

    Raises ActionFailed when a step fails or leaves its work undone.
    """
    remarks = []
    for step in plan:
        stdin = tar_of(step.script.files) if step.script.files else step.script.text.encode()
        done = await host.run(Command(step.script.script, step.script.arguments), stdin, STEP_SECONDS)
        if done.status and step.optional:
            remarks.append(f"{step.what} failed: {_last_line(done.stderr)}")
        elif done.status:
            raise ActionFailed(
                host.name,
                f"{step.what}: {_last_line(done.stderr)}",
                "fix the cause, then run bootstrap again: it continues",
            )
        else:
            report_progress(f"  done: {step.what}")
    seen = await survey(host, asked.layout, as_root=True) if plan else None
    remaining = steps(seen, asked) if seen else ()
    if isinstance(remaining, Impossible) or any(not step.optional for step in remaining):
        reason = (
            remaining.reason if isinstance(remaining, Impossible) else f"{remaining[0].what}: {remaining[0].reason}"
        )
        raise ActionFailed(host.name, f"its setup is still incomplete: {reason}", "run bootstrap again with --verbose")
    return (*remarks, *(notes(seen, asked) if seen else ()))


def _last_line(text: str) -> str:
    return printable((text.strip().splitlines() or ["no message"])[-1])


async def _try_login_as_deploy_user(machine: Machine, shown: ShownKey, asked: Asked, *, own_keys: bool) -> None:
    """Log in as the deploy user, to prove that it works.

    With --key, the private key may be on another machine; then a refused login is only reported.
    """
    host = SshHost(machine.name, machine.address, user=DEPLOY_USER, port=machine.port, host_key=shown.line)
    try:
        await survey(host, asked.layout)
    except HostError as error:
        if own_keys or not str(error).startswith(f"host {machine.name}: login refused"):
            raise
        print(
            f"login as {DEPLOY_USER} was not tested: it needs the private key, which is not on this machine",
            file=sys.stderr,
        )
    finally:
        await host.close()


def _enlist_host(
    machine: Machine, shown: ShownKey, plan: tuple[Step, ...], remarks: tuple[str, ...], options: Options
) -> int:
    keys = {"address": machine.address, "user": DEPLOY_USER}
    if machine.port and machine.port != 22:
        keys["port"] = str(machine.port)
    written = add_host(options.desired_state, machine.name, keys | {"host_key": shown.line})
    file = f"{label(options.desired_state)}/fleet.yaml"
    if options.json:
        if options.yes:
            print(
                json.dumps(
                    _report(machine, shown, plan, remarks, "converged") | {"file": file, "changed": written}, indent=2
                )
            )
        return 0
    for line in remarks:
        print(f"  {line}")
    print(
        f"{machine.name} is a host: reconcile logs in as {DEPLOY_USER}, which may run one program as root; "
        "root's login is not needed again until reconcile itself is upgraded"
    )
    if written:
        print(f"{file} lists it with its host key\nnext: git add {file} && git commit -m 'Host {machine.name}'")
    return 0
