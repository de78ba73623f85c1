"""Work out a desired state without asking anything: no key, no artifact, no host. Pure.

A stand-in takes the place of each value that only a controller can know. Two stand-ins differ whenever the commit says
that what they stand for differs.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.errors import ReconcileError
from reconciler.model.action import Blocked
from reconciler.model.app import App
from reconciler.model.artifact import Digests
from reconciler.model.desired import Desired, edges_of
from reconciler.model.environment import owner_in
from reconciler.model.fleet import DesiredFleet, Key
from reconciler.model.process_name import family_of
from reconciler.model.references import references_in
from reconciler.targets.resolve import cluster_of, resolve, resolve_edge
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles
from reconciler.targets.traefik_app import all_apps
from reconciler.tools.certificates import KeyPair
from reconciler.tools.digests import sha256_of
from reconciler.tools.release import release_id

MOST_TARGETS = 5000
FAR_AWAY = 1 << 40  # epoch seconds at which a certificate ends that is only assumed


@dataclass(frozen=True)
class OfflineFleet:
    """A desired state, worked out with stand-ins."""

    desired: Desired
    fleet: DesiredFleet
    files: Mapping[Key, TargetFiles] = field(repr=False)
    unknown_releases: frozenset[str]  # names of releases that are made of a stand-in, not of the artifact's digest
    sealed: Mapping[str, str] = field(repr=False)

    def same(self, app: App, site: HostSite, desired: Desired, sealed: Mapping[str, str]) -> TargetFiles | None:
        """Return this app on this host, if everything that it is made of is the same."""
        files = self.files.get((app.app, site.name))
        if files is None or files.app != app or files.site != site or self.desired.fleet != desired.fleet:
            return None
        return files if all(self.sealed.get(name) == digest for name, digest in sealed.items()) else None

    def only(self, families: Container[str]) -> OfflineFleet:
        """Return the same hosts with these apps and their processes alone."""
        files = {key: each for key, each in self.files.items() if family_of(key[0]) in families}
        fleet = self.fleet
        targets = {key: each for key, each in fleet.targets.items() if key in files}
        edges = {key: each for key, each in fleet.edges.items() if family_of(key[0]) in families}
        apps = {name: app for name, app in fleet.apps.items() if app.family in families}
        return replace(self, files=files, fleet=replace(fleet, targets=targets, edges=edges, apps=apps))


def work_out_offline(
    desired: Desired, sealed: Mapping[str, str], *, allow_prune: bool = False, known: OfflineFleet | None = None
) -> OfflineFleet:
    """Return the targets of every app on every host. `sealed` has the digest of each secret's ciphertext.

    What `known` has worked out already, for the same app on the same host, is taken from there.
    """
    files: dict[Key, TargetFiles] = {}
    refused: dict[Key, Blocked] = {}
    apps = all_apps(desired)
    for app in apps:
        for host in app.hosts:
            here = app.on(host)
            stand_ins = _StandIns(here, sealed)
            site = HostSite(host, desired.host(host), desired.fleet.traefik.api_ports)
            try:
                same = known and known.same(here, site, desired, stand_ins.digests)
                cluster = cluster_of(app, map(desired.host, app.hosts))
                files[app.app, host] = same or _resolve(here, site, desired, stand_ins, cluster)
            except ReconcileError as error:
                refused[app.app, host] = Blocked(host, app.app, str(error), error.next_step or None, kind=error.kind)
    edges = _edges(apps, desired, sealed, refused)
    names = {*desired.host_names(), *(host for app in apps for host in app.hosts), *desired.fleet.hosts}
    fleet = DesiredFleet(
        targets={key: each.target for key, each in files.items()},
        edges={key: each.target for key, each in edges.items()},
        apps={app.app: app for app in apps},
        refused=refused,
        hosts=tuple(sorted(names)),
        owner=desired.fleet.owner or owner_in(desired.environment, desired.base_owner or "repository-"),
        prunes=not refused,
        allow_prune=allow_prune,
        rollouts_at_once=dict.fromkeys(names, MOST_TARGETS),  # the hosts' cores and memory are not known
    )
    unknown = {
        release_id(app.version, _artifact_digest(app)) for app in apps if not isinstance(app.artifact.sha256, str)
    }
    return OfflineFleet(desired, fleet, files, frozenset(unknown), sealed)


def _edges(
    apps: Iterable[App], desired: Desired, sealed: Mapping[str, str], refused: dict[Key, Blocked]
) -> dict[Key, TargetFiles]:
    """What each edge routes. What cannot be worked out is added to `refused`."""
    found: dict[Key, TargetFiles] = {}
    for app in apps:
        for edge in edges_of(app):
            site = HostSite(edge, desired.host(edge), desired.fleet.traefik.api_ports)
            places = tuple((host, desired.host(host).private_address or "") for host in app.hosts)
            try:
                stand_ins = _StandIns(app, sealed)
                files = resolve_edge(
                    app, site, desired.fleet.traefik, desired.folder, stand_ins, places, _stand_in_pair
                )
                found[app.app, edge] = files
            except ReconcileError as error:
                refused[app.app, edge] = Blocked(edge, app.app, str(error), error.next_step or None, kind=error.kind)
    return found


def _resolve(app: App, site: HostSite, desired: Desired, secret: _StandIns, cluster: tuple[str, ...]) -> TargetFiles:
    return resolve(
        app, site, desired.fleet.traefik, desired.folder, _artifact_digest(app), secret, cluster, _stand_in_pair
    )


def _artifact_digest(app: App) -> str:
    """The digest that the commit names; else a stand-in for it, which changes with what the commit says of it."""
    written = app.artifact.sha256
    if isinstance(written, str):
        return written
    each = (written.amd64, written.arm64) if isinstance(written, Digests) else ()
    return sha256_of(repr((app.artifact.source, app.version, each)))


def _stand_in_pair(app: App, secret: Callable[[str], str]) -> KeyPair | None:
    """A certificate for all names of the route that never ends, and changes with the secret."""
    route = app.route
    if route is None or route.certificate is None:
        return None
    name = route.certificate.secret
    return KeyPair(name, (*route.domains, *route.redirects), FAR_AWAY, secret(name), "")


class _StandIns:
    """Answers for the values of an app's secrets."""

    def __init__(self, app: App, sealed: Mapping[str, str]) -> None:
        self.digests = {each.name: sealed.get(each.name, "") for each in references_in(app, app.app)}
        auth = app.route.basic_auth if app.route else None
        self._htpasswd = auth.secret if auth else None

    def __call__(self, name: str) -> str:
        digest = sha256_of(f"{name} {self.digests.get(name, '')}")
        return f"visitor:$2y$05${digest[:53]}" if name == self._htpasswd else digest
