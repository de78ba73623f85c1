"""The first step of every command that works on hosts: work out the desired state into targets, and open the hosts."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from reconciler.desired_state.git.commit import find_repository
from reconciler.desired_state.git.history import root_commit
from reconciler.desired_state.load import label
from reconciler.desired_state.origin import Behind, Origin, origin_of
from reconciler.errors import (
    ArtifactMissing,
    InvalidDesiredState,
    Problem,
    ReconcileError,
    SecretError,
    UsageError,
)
from reconciler.host.local import LocalHost
from reconciler.host.ssh import SshHost
from reconciler.host.transport import Transport
from reconciler.model.action import Blocked
from reconciler.model.desired import App, Desired, edges_of
from reconciler.model.environment import owner_in
from reconciler.model.etcd import Etcd
from reconciler.model.fleet import Key
from reconciler.model.machine import HostSpec
from reconciler.model.options import Options
from reconciler.model.process_name import family_of
from reconciler.model.references import references_in
from reconciler.model.shard import Shard
from reconciler.targets.find_artifact import Found, find_digest, raise_refusal, with_artifact
from reconciler.targets.resolve import cluster_of, resolve, resolve_edge
from reconciler.targets.site import EtcdStore, HostSite, etcd_access
from reconciler.targets.target_files import TargetFiles
from reconciler.targets.traefik_app import all_apps
from reconciler.tools.digests import digest

if TYPE_CHECKING:
    from reconciler.secrets.vault import Vault

History = Literal["unasked", "wanted", "demanded"]
"""How a command uses the history of the desired state: not at all, to report by it, or to change hosts by it."""

# What a look at more apps sends and gets is worth compressing. That costs both sides memory for each connection.
MOST_UNCOMPRESSED_APPS = 5


@dataclass
class OpenFleet:
    """The targets in order of app and host. `refused` has those that cannot be worked out, with the reason.

    `sites` and `hosts` have every machine to look at: the apps' hosts, and those that only fleet.yaml names.
    """

    desired: Desired
    targets: dict[Key, TargetFiles] = field(default_factory=dict)
    edges: dict[Key, TargetFiles] = field(default_factory=dict)  # what each edge routes; not one of `targets`
    refused: dict[Key, Blocked] = field(default_factory=dict)
    sites: dict[str, HostSite] = field(default_factory=dict)
    hosts: dict[str, Transport] = field(default_factory=dict)
    etcd: EtcdStore | ReconcileError | None = None  # where the routes of edges lie, if not in files
    owner: str = "-"
    origin: Origin | None = None
    elsewhere: frozenset[str] = frozenset()  # hosts that controllers of other shards change
    whole: bool = True  # it has every app and host: only then can we find apps that are no longer desired

    @property
    def vault(self) -> Vault:
        """A new vault for the secrets of this desired state."""
        from reconciler.secrets.vault import Vault  # many a desired state names no secret

        return Vault(self.desired.secret_files)

    @cached_property
    def by_host(self) -> dict[str, list[TargetFiles]]:
        """The targets of each host that has any. It is worked out once, for looks at thousands of hosts."""
        found: dict[str, list[TargetFiles]] = {}
        for files in self.every_target.values():
            found.setdefault(files.target.host, []).append(files)
        return found

    @property
    def every_target(self) -> dict[Key, TargetFiles]:
        """The targets, and the edges that are no host of the app they route."""
        return self.edges | self.targets

    def names(self, key: Key) -> bool:
        """True if the desired state has this app on this host, even if the target cannot be worked out."""
        return key in self.targets or key in self.edges or key in self.refused

    def leads_to(self, site: HostSite) -> bool:
        """True if this host is open already, with the same address and login."""
        known = self.sites.get(site.name)
        return known is not None and known.spec == site.spec and site.name in self.hosts

    def transport(self, site: HostSite, apps: int = 0) -> Transport:
        """Return the open transport to this host, on which so many apps are desired, or a new one."""
        if self.leads_to(site):
            return self.hosts[site.name]
        return open_host(site.name, site.spec, compress=apps > MOST_UNCOMPRESSED_APPS)

    @property
    def behind(self) -> Behind | None:
        return self.origin.why_behind if self.origin else None

    async def grant_grace(self, error: ArtifactMissing, app: str) -> ArtifactMissing:
        """Return the error as a reason to wait while the commit that asks for the artifact is recent."""
        from reconciler.targets.awaited_artifact import grant_grace

        return await grant_grace(error, self.desired, app)


async def missing_history(origin: Origin, *, may_lack: bool) -> list[str]:
    """Notes about history that is missing here. Raises UsageError instead unless `may_lack`, and GitError."""
    problem = await origin.why_cut_short()
    if problem is None:
        return []
    if not may_lack:
        raise problem
    return [f"{problem}; {problem.next_step}"]


@asynccontextmanager
async def open_fleet(
    options: Options, history: History = "unasked", *, valid_only: bool = False
) -> AsyncIterator[OpenFleet]:
    """Read the desired state, print its notes, and open the hosts for one command.

    Raises InvalidDesiredState, GitError or UsageError before any host is contacted. With `valid_only`, for commands
    that change no app, files that are not valid are printed, and stop nothing but work on their own apps.
    """
    origin = origin_of(options)
    desired = await origin.read(valid_only=valid_only)
    if desired.invalid:
        print(f"{InvalidDesiredState(desired.invalid)}\n(left out here; a pass stops at it)", file=sys.stderr)
    notes = list(desired.notes)
    if history != "unasked":
        notes += await missing_history(origin, may_lack=history == "wanted" or options.allow_step_back)
    for note in notes:
        print(note, file=sys.stderr)
    opened = await work_out(desired, options.app, options.host, remote=options.repo, shard=options.shard)
    opened.origin = origin
    try:
        yield opened
    finally:
        await close(opened)


async def close(opened: OpenFleet, but: OpenFleet | None = None) -> None:
    """Close every connection of `opened` that `but` does not use."""
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
    shard: Shard | None = None,
) -> OpenFleet:
    """Work out the targets for the chosen apps and hosts (None: all), and reuse the connections of `before`.

    A name such as group:web stands for its hosts. Raises UsageError for an unknown app or host, InvalidDesiredState for
    a local host that is not allowed.
    """
    known = {*desired.host_names(), *desired.fleet.hosts}
    hosts = desired.hosts_in(hosts) if hosts else hosts
    every = all_apps(desired)
    if desired.invalid and not {*(apps or ())} <= {app.app for app in every}:
        raise InvalidDesiredState(desired.invalid)
    _refuse_unknown("app", apps, {app.app for app in every})
    _refuse_unknown("host", hosts, known)
    opened = OpenFleet(desired, whole=not apps and not hosts and not desired.invalid)
    families = {family_of(name) for name in apps or ()}
    chosen = [app for app in every if not apps or app.family in families]
    owner = asyncio.create_task(_owner(desired, remote))
    etcd = desired.fleet.traefik.etcd if any(edges_of(app) for app in chosen) or not apps else None
    named = [each.name for app in chosen for each in references_in(app, app.app)]
    named += [each.name for each in references_in(etcd, "traefik")] if etcd else []
    secret = await opened.vault.read_all(named) if named else _no_secret
    opened.etcd = _etcd_store(desired, etcd, secret) if etcd else None
    whole = {app.family: app for app in reversed(chosen)}  # the processes of an app have its artifact
    found = dict(zip(whole, await asyncio.gather(*(find_digest(app, desired) for app in whole.values())), strict=True))
    opened.owner = await owner
    of_shard = _keys_of(every, shard) if shard else None
    if shard and (named_edges := next((app.app for app in every if edges_of(app)), None)):
        next_step = "run one controller without --shard; or give these apps a desired state of their own"
        raise UsageError(
            f"--shard cannot divide a fleet with edges: {named_edges} has some, and all move together", next_step
        )
    if shard:
        opened.elsewhere = frozenset(host for host in known if not shard.has(host))
    for app in chosen:
        for host in app.hosts:
            if (not hosts or host in hosts) and (of_shard is None or (app.app, host) in of_shard):
                _add(opened, app, host, found[app.family], secret)
        if not hosts or {*hosts} & {*app.hosts, *edges_of(app)}:
            add_edges(opened, app, secret)
    opened.whole = opened.whole and opened.owner != "-"
    needed = known - opened.elsewhere if opened.whole else set[str]()
    needed |= {host for _, host in opened.every_target}
    sites = [opened.sites.setdefault(name, _host_site(opened, name)) for name in sorted(needed)]
    _refuse_local(desired, [site.name for site in sites if not (before and before.leads_to(site))])
    apps_on = Counter(host for _, host in opened.targets)
    for site in sites:
        opened.hosts[site.name] = (before or opened).transport(site, apps_on[site.name])
    return opened


def _no_secret(name: str) -> str:
    raise KeyError(name)


def _keys_of(apps: tuple[App, ...], shard: Shard) -> set[Key]:
    from reconciler.decide.shards import keys_of_shard  # few need it, and the first connection waits for imports

    return keys_of_shard(apps, shard)


def demand_all(opened: OpenFleet) -> None:
    """Raise UsageError if a target could not be worked out, for example because a secret is missing."""
    for blocked in opened.refused.values():
        raise UsageError(blocked.reason, blocked.next_step)


def _host_site(opened: OpenFleet, name: str) -> HostSite:
    etcd = None if isinstance(opened.etcd, ReconcileError) else opened.etcd
    return HostSite(name, opened.desired.host(name), opened.desired.fleet.traefik.api_ports, etcd)


def _etcd_store(desired: Desired, etcd: Etcd, secret: Callable[[str], str]) -> EtcdStore | ReconcileError:
    """The etcd with the values of its secrets, or why one of them is not known."""
    try:
        access = etcd_access(etcd, secret)
    except ReconcileError as error:
        return SecretError(f"traefik.etcd: {error}", error.next_step)
    return EtcdStore(access, {app.app: edges for app in desired.apps if (edges := edges_of(app))})


def _add(opened: OpenFleet, app: App, host: str, found: Found, secret: Callable[[str], str]) -> None:
    desired = opened.desired
    try:
        raise_refusal(found)
        known = found if isinstance(found, str) else None  # a host that has the release needs no artifact
        cluster = cluster_of(app, map(desired.host, app.hosts))
        here, traefik = app.on(host), desired.fleet.traefik
        files = resolve(here, _host_site(opened, host), traefik, desired.folder, known, secret, cluster)
        files = replace(files, target=with_artifact(files.target, found))
    except ReconcileError as error:
        blocked = Blocked(host, app.app, str(error), error.next_step or None, kind=error.kind)
        opened.refused[app.app, host] = blocked
        opened.whole = False  # an app that cannot be worked out is still desired: remove nothing
    else:
        opened.targets[files.key] = files


def add_edges(opened: OpenFleet, app: App, secret: Callable[[str], str]) -> None:
    """Work out what each edge of the app routes. All of them, for whichever host: a cutover is one on every edge."""
    desired = opened.desired
    for edge in edges_of(app):
        places = tuple((host, desired.host(host).private_address or "") for host in app.hosts)
        try:
            if isinstance(opened.etcd, ReconcileError):
                raise opened.etcd
            files = resolve_edge(app, _host_site(opened, edge), desired.fleet.traefik, desired.folder, secret, places)
        except ReconcileError as error:
            blocked = Blocked(edge, app.app, str(error), error.next_step or None, kind=error.kind)
            opened.refused[app.app, edge] = blocked
            opened.whole = False
        else:
            opened.edges[files.key] = files


async def _owner(desired: Desired, remote: str | None) -> str:
    """The mark of this desired state on its hosts: the `owner` that it names, else one made of where it comes from.

    An environment without one has that of production with its own name. "-" if it is not known, as in a shallow clone.
    """
    if desired.fleet.owner:
        return desired.fleet.owner
    base = desired.base_owner or await _owner_by_origin(desired, remote)
    return base if base == "-" else owner_in(desired.environment, base)


async def _owner_by_origin(desired: Desired, remote: str | None) -> str:
    if desired.revision is None:
        return "folder-" + digest([platform.node(), str(desired.folder.resolve())])
    if remote:
        return "remote-" + digest(remote)
    repository = find_repository(desired.folder)
    root = await root_commit(repository) if repository else ""
    return f"repository-{root[:16]}" if root else "-"


def _refuse_unknown(what: str, names: tuple[str, ...] | None, known: set[str]) -> None:
    for name in names or []:
        if name not in known:
            raise UsageError(f"no {what} {name} in the desired state", f"known: {', '.join(sorted(known)) or 'none'}")


ALLOW_LOCAL = "RECONCILE_ALLOW_LOCAL"


def _refuse_local(desired: Desired, names: Iterable[str]) -> None:
    """Raise InvalidDesiredState if one of these hosts is this machine and the operator has not allowed that.

    Anyone who can commit decides what runs on the servers, but not what runs on the machine that has the keys to all.
    """
    if os.environ.get(ALLOW_LOCAL) == "yes":
        return
    where = label(desired.folder) if desired.mirror is None else desired.inside
    problems = []
    for name in names:
        if not desired.host(name).local:
            continue
        named = [app.app for app in desired.apps if name in (*app.hosts, *edges_of(app))]
        in_fleet = name in desired.fleet.hosts or not named
        file, key = ("fleet.yaml", f"hosts.{name}") if in_fleet else (f"apps/{named[0]}.yaml", "hosts")
        message = "is this very machine (local), which the desired state alone may not change"
        next_step = f"set {ALLOW_LOCAL}=yes in the environment of reconcile, or name another machine"
        problems.append(Problem(f"{where}/{file}", 0, 0, key, f"{name} {message}", next_step))
    if problems:
        raise InvalidDesiredState(tuple(problems))


def open_host(name: str, spec: HostSpec, *, compress: bool = False) -> Transport:
    """Make the transport to a host, without connecting yet. Raises UsageError for this machine unless it is allowed."""
    needs_root = spec.scope == "system"
    if spec.local:
        if os.environ.get(ALLOW_LOCAL) != "yes":
            raise UsageError(f"{name} is this very machine (local)", f"set {ALLOW_LOCAL}=yes in the environment")
        return LocalHost(name, needs_root=needs_root)
    return SshHost(
        name, spec.address, user=spec.user, port=spec.port, host_key=spec.host_key, needs_root=needs_root,
        compress=compress,
    )  # fmt: skip
