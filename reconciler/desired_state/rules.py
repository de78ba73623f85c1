"""Rules that span files: one name per machine, and no two apps on one port or domain of a machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.desired_state.yaml_text import Document, KeyPath
from reconciler.errors import Problem
from reconciler.model.desired import App, Fleet, HostSpec, SecretRef, read_host
from reconciler.model.route import TcpRoute


@dataclass(frozen=True)
class AppFile:
    """An app and the file it was read from."""

    document: Document
    app: App
    by_host: Mapping[str, AppFile] = field(default_factory=dict)  # where the app has overrides

    def on(self, host: str) -> AppFile:
        """The app as it is on this host, with the places where that is written."""
        return self.by_host.get(host, self)

    @property
    def variants(self) -> tuple[AppFile, ...]:
        """The app as it is on its hosts: one for each set of overrides, itself if it has none."""
        return tuple({id(each): each for each in map(self.on, self.app.hosts)}.values())

    def _written(self, path: KeyPath) -> KeyPath:
        while path not in self.document.places:  # the model normalized the key: WWW.example.com → www.example.com
            path = path[:-1]
        return path

    def place(self, path: KeyPath) -> str:
        place = self.document.places[self._written(path)]
        return f"{place.file or self.document.file}:{place.line}:{place.column}"

    @property
    def ports(self) -> list[tuple[KeyPath, int]]:
        """(key, port) for each port that the app listens on."""
        own: list[tuple[KeyPath, int]] = [(("ports", index), port) for index, port in enumerate(self.app.ports)]
        extra = enumerate(self.app.sandbox.extra_ports)
        return own + [(("sandbox", "extra_ports", index), port) for index, port in extra]

    def problem(self, path: KeyPath, message: str, next_step: str) -> Problem:
        written = self._written(path)
        return self.document.problem(written, message, next_step, below=path[len(written) :])


def problems_between(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    """Every rule that the files break together. A clash between two files is reported in the later one."""
    yield from _two_names(files, fleet)
    yield from _taken_ports(files, fleet)
    yield from _unreachable_routes(files, fleet)
    yield from _shared_claims(files, fleet)
    yield from _rights_of_a_user(files, fleet)
    yield from _swallowed_routes(files, fleet)
    yield from _silent_servers(files, fleet)
    yield from _uncertified_wildcards(files, fleet)
    yield from _nodes(files, fleet)
    yield from _edges(files, fleet)
    yield from _over_the_releases(files, fleet)
    yield from _unknown_order(files)
    yield from _circles(files)


def _machines(file: AppFile, fleet: Fleet) -> list[tuple[str, HostSpec]]:
    return [(name, fleet.hosts[name] if name in fleet.hosts else read_host(name)) for name in file.app.hosts]


def on_machines(files: Iterable[AppFile], fleet: Fleet) -> Iterator[tuple[AppFile, str, HostSpec]]:
    """Yield each app as it is on each of its hosts."""
    for file in files:
        for name, spec in _machines(file, fleet):
            yield file.on(name), name, spec


def _variants(files: Iterable[AppFile]) -> Iterator[AppFile]:
    return (variant for file in files for variant in file.variants)


def _on_routing_machines(files: Iterable[AppFile], fleet: Fleet) -> Iterator[tuple[AppFile, str, HostSpec]]:
    """Yield each app as it is on each machine whose Traefik has its route: its edges, or without any its hosts."""
    for file in files:
        edges = file.app.route.edges if file.app.route else ()
        yield from ((file, name, fleet.hosts[name]) for name in edges if name in fleet.hosts)
        if not edges:
            yield from on_machines([file], fleet)


def _edges(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    """Refuse edges that fleet.yaml does not have, and hosts that edges cannot reach."""
    first = next((file.app.route.edges for file in files if file.app.route and file.app.route.edges), ())
    for file in files:
        edges = file.app.route.edges if file.app.route else ()
        for index, name in enumerate(edges):
            if name not in fleet.hosts:
                known = f"name one of {', '.join(sorted(fleet.hosts))}" if fleet.hosts else "write it there"
                yield file.problem(("route", "edges", index), f"{name} is not a host of fleet.yaml", known)
            elif fleet.hosts[name].scope == "user":
                message = f"{name} has scope user, where Traefik cannot serve other hosts"
                yield file.problem(("route", "edges", index), message, "name a host of scope system")
        for index, (name, spec) in enumerate(_machines(file, fleet) if edges else ()):
            if spec.private_address is None:
                next_step = (
                    f"write hosts: {{{name}: {{private_address: 10.0.0.5}}}} in fleet.yaml, with its real address"
                )
                yield file.problem(("hosts", index), f"edges cannot reach the instances on {name}", next_step)
        if edges and fleet.traefik.routes == "etcd" and {*edges} != {*first}:
            message = f"differs from {', '.join(first)}, the edges of another app"
            next_step = "every Traefik that reads the etcd serves all its routes: name the same edges in every app"
            yield file.problem(("route", "edges"), message, next_step)
        for variant in file.variants:
            route = variant.app.route
            if (edges or (route and route.edges)) and (route, variant.app.health) != (file.app.route, file.app.health):
                key = "route" if route != file.app.route else "health"
                message = "is one for all hosts of an app with edges, which spread its visitors over them"
                yield variant.problem((key,), message, "write it for the app, not in overrides")


def _two_names(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    # One machine under two names would be two hosts, and each would prune the apps of the other.
    names = {spec.machine: name for name, spec in fleet.hosts.items()}
    for file in files:
        for index, (name, spec) in enumerate(_machines(file, fleet)):
            first = names.setdefault(spec.machine, name)
            if first != name:
                yield file.problem(
                    ("hosts", index), f"{name} is the same machine as {first}", f"write {first} everywhere"
                )


def _taken_ports(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    for file, name, spec in on_machines(files, fleet):
        for path, port in file.ports:
            if what := _use_by_traefik(port, fleet):
                yield file.problem(path, f"{port} is {what}", "choose another port")
            if port == spec.port:
                yield file.problem(path, f"{port} is the SSH port of {name}", "choose another port")


def _use_by_traefik(port: int, fleet: Fleet) -> str:
    if port in fleet.traefik.api_ports:
        return "the port of Traefik's API"
    traefik = fleet.traefik
    return "a port of Traefik's entry points" if traefik.managed and port in traefik.own_ports else ""


def _unreachable_routes(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    for file in _variants(files):
        if fleet.traefik.redirects and file.app.route and not file.app.route.tls:
            message = "is false, but Traefik redirects plain http to https before it looks at any route"
            yield file.problem(("route", "tls"), message, "delete it, or write redirect_to_https: false in fleet.yaml")


def _nodes(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    """Refuse Erlang distribution that any program could join, or whose nodes cannot reach each other."""
    for file in _variants(files):
        if file.app.distribution == "none":
            continue
        if not isinstance(file.app.env.get("RELEASE_COOKIE"), SecretRef):
            message = (
                f"is {file.app.distribution}: every program on the host that knows the node's cookie can run code "
                "in it, and the default cookie is in the tarball for all to read"
            )
            next_step = (
                "write env: {RELEASE_COOKIE: {secret: NAME}}, and give that secret a long random value: "
                "reconcile secrets set NAME"
            )
            yield file.problem(("distribution",), message, next_step)
        for index, (name, spec) in enumerate(_machines(file, fleet) if len(file.app.hosts) > 1 else ()):
            if file.app.distribution == "name" and spec.private_address is None:
                next_step = (
                    f"write hosts: {{{name}: {{private_address: 10.0.0.5}}}} in fleet.yaml, with its real address"
                )
                yield file.problem(("hosts", index), f"the nodes on other hosts cannot reach {name}", next_step)


def _over_the_releases(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    """Refuse a writable path that contains the releases: an app may see only its own releases."""
    for file, name, spec in on_machines(files, fleet):
        for index, path in enumerate(file.app.sandbox.extra_writable_paths):
            if f"{spec.paths.releases}/".startswith(f"{path}/"):
                message = f"{path} holds the releases of every app on {name}"
                yield file.problem(("sandbox", "extra_writable_paths", index), message, "name a folder below it")


def _rights_of_a_user(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    for file in files:
        for index, (name, spec) in enumerate(_machines(file, fleet)):
            if spec.scope == "system":
                continue
            here = file.on(name)
            # With fetch: host, the host unpacks the archive as the user nobody; only root can switch to that user.
            wants = [f"keep {capability}" for capability in here.app.sandbox.capabilities]
            wants += ["use fetch: host"] * (file.app.artifact.fetch == "host")
            wants += [f"use distribution: {file.app.distribution}"] * (file.app.distribution != "none")
            wants += ["come after units of the system"] * bool(file.app.after_units)
            local = here.app.route is not None and not here.app.route.edges
            wants += ["be served by a managed Traefik"] * (fleet.traefik.managed and local)
            own = here.app.route is not None and here.app.route.certificate is not None
            wants += ["serve a certificate of its own"] * (local and own)
            for what in wants:
                yield file.problem(
                    ("hosts", index), f"{name} has scope user, where an app cannot {what}", "leave out one of the two"
                )


def _unknown_order(files: Sequence[AppFile]) -> Iterator[Problem]:
    names = {file.app.app for file in files}
    for file in files:
        for index, name in enumerate(file.app.after):
            if (app := name.partition("@")[0].partition(".")[0]) in names and "." in name:
                message = f"{name} is a unit of the app {app}, and reconcile decides which of its units runs"
                yield file.problem(("after", index), message, f"write after: [{app}]")
            elif "." not in name and name not in names:
                yield file.problem(("after", index), f"there is no app {name}", "name an app of this desired state")
        if file.app.moved_from in names:
            yield file.problem(
                ("moved_from",), f"{file.app.moved_from} is still an app", "delete its file, or this key"
            )


def _circles(files: Sequence[AppFile]) -> Iterator[Problem]:
    after = {file.app.app: file.app.after for file in files}

    def reaches(start: str, goal: str, seen: frozenset[str]) -> bool:
        return any(
            name == goal or (name not in seen and reaches(name, goal, seen | {name})) for name in after.get(start, ())
        )

    for file in files:
        if reaches(file.app.app, file.app.app, frozenset()):
            yield file.problem(("after",), f"{file.app.app} waits for itself", "break the circle")


def _swallowed_routes(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    """Refuse TCP routes that take requests from http apps: Traefik asks TCP routers first on an entry point."""
    http, https = fleet.traefik.http_entry_point, fleet.traefik.https_entry_point
    taken: dict[tuple[object, str], AppFile] = {}
    for file, _, spec in _on_routing_machines(files, fleet):
        if file.app.route and file.app.route.tls and not file.app.route.tcp:
            names = (*file.app.route.domains, *file.app.route.redirects)
            taken |= {(spec.machine, name): file for name in names}
    for file, host, spec in on_machines(files, fleet):
        tcp = file.app.route.tcp if file.app.route else None
        if tcp and not tcp.domains and tcp.entry_point in (http, https):
            message = f"{tcp.entry_point} is for http, and this app would receive every request there"
            yield file.problem(("route", "tcp", "entry_point"), message, "give it an entry point of its own")
        for index, name in enumerate(tcp.domains if tcp and tcp.entry_point == https else ()):
            if other := taken.get((spec.machine, name)):
                message = f"{name} is served over https by {other.app.app} on host {host}"
                next_step = "choose another name or entry point"
                yield file.problem(("route", "tcp", "domains", index), message, next_step)


def _silent_servers(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    """Refuse TCP without TLS beside TLS on one entry point: Traefik waits for the client's first bytes there.

    A protocol in which the server speaks first, such as MySQL or SMTP, would never begin.
    """
    with_tls: dict[tuple[object, str], AppFile] = {}
    told: set[tuple[str, str]] = set()
    for file, _, spec, tcp in _tcp_routes(files, fleet):
        if tcp.tls != "none":
            with_tls[spec.machine, tcp.entry_point] = file
    for file, host, spec, tcp in _tcp_routes(files, fleet):
        place = file.place(("route", "tcp", "entry_point"))
        other = with_tls.get((spec.machine, tcp.entry_point)) if tcp.tls == "none" else None
        if other and tcp.speaks_first == "server" and (file.app.app, place) not in told:
            told.add((file.app.app, place))
            message = (
                f"{other.app.app} has TLS there on host {host}, so Traefik waits for the client's first bytes, and "
                "a protocol in which the server speaks first never begins"
            )
            next_step = "give it an entry point of its own, or write speaks_first: client if the client does"
            yield file.problem(("route", "tcp", "entry_point"), message, next_step)


def _tcp_routes(files: Sequence[AppFile], fleet: Fleet) -> list[tuple[AppFile, str, HostSpec, TcpRoute]]:
    on = on_machines(files, fleet)
    return [(file, name, spec, file.app.route.tcp) for file, name, spec in on if file.app.route and file.app.route.tcp]


def _uncertified_wildcards(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    """Refuse a wildcard whose certificate no authority would give."""
    acme = fleet.traefik.acme
    for file in _variants(files):
        route = file.app.route
        if (
            route is None
            or not route.tls
            or route.certificate
            or acme is None
            or acme.challenge == "dns"
            or not fleet.traefik.resolver
        ):
            continue
        for index, domain in enumerate(route.domains):
            if domain.startswith("*."):
                message = f"{domain} gets no certificate by the http challenge"
                next_step = (
                    "write acme: {challenge: dns, provider: …} in fleet.yaml, tls: {certificate: {secret: …}} "
                    "with one of your own, or tls: false behind a TLS terminator"
                )
                yield file.problem(("route", "domains", index), message, next_step)


def _shared_claims(files: Sequence[AppFile], fleet: Fleet) -> Iterator[Problem]:
    owners: dict[tuple[object, ...], tuple[AppFile, KeyPath]] = {}
    wanted: list[tuple[AppFile, str, HostSpec, KeyPath, str, object]] = []
    for file, name, spec in on_machines(files, fleet):
        wanted += [(file, name, spec, path, "port", port) for path, port in file.ports]
    for file, name, spec in _on_routing_machines(files, fleet):
        claims = file.app.route.claims if file.app.route else []
        wanted += [(file, name, spec, ("route", *path), "route", claimed) for path, claimed in claims]
    for file, name, spec, path, what, value in wanted:
        owner, at = owners.setdefault((spec.machine, what, value), (file, path))
        if owner is not file:
            message = f"{value} is also a {what} of {owner.app.app} ({owner.place(at)}), on host {name}"
            yield file.problem(path, message, "change one of the two")
