"""What every command over hosts begins with: the desired state worked out into targets, and the hosts."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from reconciler.artifact.source import digest_of
from reconciler.desired_state.git.commit import find_repository
from reconciler.desired_state.git.history import root_commit
from reconciler.desired_state.load import label
from reconciler.desired_state.origin import Behind, Origin, origin_of
from reconciler.errors import (
    ArtifactAwaited,
    ArtifactError,
    ArtifactMissing,
    ArtifactUnavailable,
    InvalidDesiredState,
    Problem,
    ReconcileError,
    UsageError,
)
from reconciler.host.local import LocalHost
from reconciler.host.ssh import SshHost
from reconciler.host.transport import Transport
from reconciler.model.action import Blocked
from reconciler.model.desired import App, Desired
from reconciler.model.machine import HostSpec
from reconciler.model.options import Options
from reconciler.model.references import references_in
from reconciler.secrets.vault import Vault
from reconciler.targets.resolve import HostSite, TargetFiles, cluster_of, resolve
from reconciler.targets.traefik_app import all_apps
from reconciler.tools.digests import digest

History = Literal["unasked", "wanted", "demanded"]
"""What a command needs of the commits before: nothing, to judge by them, or to change hosts by them."""


@dataclass
class OpenFleet:
    """Targets by app and host in order; `refused` are those that cannot even be worked out, with the reason.

    `sites` and `hosts` are all machines to be looked at: those of the apps, and those that fleet.yaml only names.
    """

    desired: Desired
    targets: list[TargetFiles] = field(default_factory=list)
    refused: list[Blocked] = field(default_factory=list)
    sites: dict[str, HostSite] = field(default_factory=dict)
    hosts: dict[str, Transport] = field(default_factory=dict)
    owner: str = "-"
    origin: Origin | None = None
    whole: bool = True  # every app and host is in it: only then can be told what is ours and no longer wanted

    @property
    def vault(self) -> Vault:
        """The secrets of this desired state, looked up anew."""
        return Vault(self.desired.secret_files)

    @property
    def wanted(self) -> dict[tuple[str, str], TargetFiles | None]:
        """Every target by (app, host); None where it could not even be worked out."""
        targets: dict[tuple[str, str], TargetFiles | None] = {files.key: files for files in self.targets}
        return {(each.app, each.host): None for each in self.refused} | targets

    def leads_to(self, site: HostSite) -> bool:
        """There is a connection to this host, to the same place in the same way."""
        before = self.sites.get(site.name)
        return before is not None and before.spec == site.spec and site.name in self.hosts

    def transport(self, site: HostSite) -> Transport:
        """That connection, or a new one."""
        return self.hosts[site.name] if self.leads_to(site) else open_host(site.name, site.spec)

    @property
    def behind(self) -> Behind | None:
        return self.origin.why_behind if self.origin else None

    async def grant_grace(self, error: ArtifactMissing, app: str) -> ArtifactMissing:
        """The same, as a reason to wait for as long as the commit that asks for it is young."""
        from reconciler.targets.awaited_artifact import grant_grace

        return await grant_grace(error, self.desired, app)


async def missing_history(origin: Origin, *, may_lack: bool) -> list[str]:
    """A note for each part of the history that is not here. Raises UsageError unless it `may_lack`, and GitError."""
    short = await origin.why_cut_short()
    if short is None:
        return []
    if not may_lack:
        raise short
    return [f"{short}; {short.next_step}"]


@asynccontextmanager
async def open_fleet(options: Options, history: History = "unasked") -> AsyncIterator[OpenFleet]:
    """The session of one command. Raises InvalidDesiredState, GitError or UsageError before any host is asked."""
    origin = origin_of(options)
    desired = await origin.read()
    notes = list(desired.notes)
    if history != "unasked":
        notes += await missing_history(origin, may_lack=history == "wanted" or options.allow_step_back)
    for note in notes:
        print(note, file=sys.stderr)
    opened = await work_out(desired, options.app, options.host, remote=options.repo)
    opened.origin = origin
    try:
        yield opened
    finally:
        await close(opened)


async def close(opened: OpenFleet, but: OpenFleet | None = None) -> None:
    """Let go of every connection that the other session does not use."""
    for host in opened.hosts.values():
        if not but or host not in but.hosts.values():
            await host.close()


async def work_out(
    desired: Desired,
    apps: tuple[str, ...] | None,
    hosts: tuple[str, ...] | None,
    before: OpenFleet | None = None,
    *,
    remote: str | None = None,
) -> OpenFleet:
    """Targets for the chosen apps and hosts (all when None). Connections of `before` are used again."""
    known = {host for app in desired.apps for host in app.hosts} | desired.fleet.hosts.keys()
    every = all_apps(desired)
    _refuse_unknown("app", apps, {app.app for app in every})
    _refuse_unknown("host", hosts, known)
    opened = OpenFleet(desired, whole=not apps and not hosts)
    chosen = [app for app in every if not apps or app.app in apps]
    owner = asyncio.create_task(_owner(desired, remote))
    secret = await opened.vault.read_all(named.name for app in chosen for named in references_in(app, app.app))
    results = await asyncio.gather(*(_digest(app, desired) for app in chosen))
    opened.owner = await owner
    for app, result in zip(chosen, results, strict=True):
        for host in app.hosts:
            if not hosts or host in hosts:
                _add(opened, app, host, result, secret)
    opened.whole = opened.whole and opened.owner != "-"
    needed = known if opened.whole else {files.target.host for files in opened.targets}
    sites = [opened.sites.setdefault(name, _host_site(desired, name)) for name in sorted(needed)]
    _refuse_local(desired, [site.name for site in sites if not (before and before.leads_to(site))])
    for site in sites:
        opened.hosts[site.name] = (before or opened).transport(site)
    return opened


def demand_all(opened: OpenFleet) -> None:
    """Raises UsageError when an app of this session cannot be worked out, as for want of a secret."""
    if opened.refused:
        raise UsageError(opened.refused[0].reason, opened.refused[0].next_step)


def _host_site(desired: Desired, name: str) -> HostSite:
    return HostSite(name, desired.host(name), desired.fleet.traefik.api_ports)


def _add(opened: OpenFleet, app: App, host: str, result: str | ReconcileError, secret: Callable[[str], str]) -> None:
    desired = opened.desired
    try:
        if isinstance(result, ReconcileError) and not isinstance(result, ArtifactUnavailable):
            raise result
        known = result if isinstance(result, str) else None  # a host that has the release needs no artifact
        cluster = cluster_of(app, map(desired.host, app.hosts))
        files = resolve(app, _host_site(desired, host), desired.fleet.traefik, desired.folder, known, secret, cluster)
        if isinstance(result, ArtifactUnavailable):
            files = _without_artifact(files, result)
    except ReconcileError as error:
        opened.refused.append(Blocked(host, app.app, str(error), error.next_step or None, kind=error.kind))
        opened.whole = False  # an app that cannot be worked out is still wanted
    else:
        opened.targets.append(files)


def _without_artifact(files: TargetFiles, error: ArtifactUnavailable) -> TargetFiles:
    missing = str(error)
    if not isinstance(error, ArtifactAwaited):
        missing = f"the artifact of version {files.target.version} cannot be had: {error}"
    target = replace(
        files.target, missing=missing, missing_next=error.next_step or None, missing_kind=error.kind, comes_later=True
    )
    return replace(files, target=target)


async def _owner(desired: Desired, remote: str | None) -> str:
    """The name in fleet.yaml, else what tells this desired state from others: its repository, or its folder here."""
    if desired.fleet.owner:
        return desired.fleet.owner
    if desired.revision is None:
        return "folder-" + digest([platform.node(), str(desired.folder.resolve())])
    if remote:
        return "remote-" + digest(remote)
    repository = find_repository(desired.folder)
    root = await root_commit(repository) if repository else ""
    return f"repository-{root[:16]}" if root else "-"


async def _digest(app: App, desired: Desired) -> str | ReconcileError:
    try:
        return await digest_of(app.artifact.source, app.artifact.sha256, app.version, desired.folder)
    except ArtifactMissing as error:
        return await OpenFleet(desired).grant_grace(error, app.app)
    except ArtifactError as error:
        return error


def _refuse_unknown(what: str, names: tuple[str, ...] | None, known: set[str]) -> None:
    for name in names or []:
        if name not in known:
            raise UsageError(f"no {what} {name} in the desired state", f"known: {', '.join(sorted(known)) or 'none'}")


ALLOW_LOCAL = "RECONCILE_ALLOW_LOCAL"


def _refuse_local(desired: Desired, names: Iterable[str]) -> None:
    """Raises InvalidDesiredState where one of these hosts is this very machine and the operator has not said so.

    Who may commit decides what runs on the servers, never what runs beside the keys to all of them.
    """
    if os.environ.get(ALLOW_LOCAL) == "yes":
        return
    where = label(desired.folder) if desired.mirror is None else desired.inside
    problems = []
    for name in names:
        if not desired.host(name).local:
            continue
        named = [app.app for app in desired.apps if name in app.hosts]
        in_fleet = name in desired.fleet.hosts or not named
        file, key = ("fleet.yaml", f"hosts.{name}") if in_fleet else (f"apps/{named[0]}.yaml", "hosts")
        message = "is this very machine (local), where nothing is done on the word of the desired state alone"
        next_step = f"set {ALLOW_LOCAL}=yes in the environment of reconcile, or name another machine"
        problems.append(Problem(f"{where}/{file}", 0, 0, key, f"{name} {message}", next_step))
    if problems:
        raise InvalidDesiredState(tuple(problems))


def open_host(name: str, spec: HostSpec) -> Transport:
    """The host behind the seam; nothing is connected yet. Raises UsageError for this machine, unless it is allowed."""
    needs_root = spec.scope == "system"
    if spec.local:
        if os.environ.get(ALLOW_LOCAL) != "yes":
            raise UsageError(f"{name} is this very machine (local)", f"set {ALLOW_LOCAL}=yes in the environment")
        return LocalHost(name, needs_root=needs_root)
    return SshHost(name, spec.address, user=spec.user, port=spec.port, host_key=spec.host_key, needs_root=needs_root)
