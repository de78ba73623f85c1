"""Traefik's file provider: the dynamic file of an app. Pure. `traefik_api` reads its API.

This rests on facts measured on Traefik 3.7. One unreadable file freezes the whole directory, so a text is parsed again
and compared before it is used. `{{` starts a Go template, so it is refused. Traefik ignores a file with the same
content, so a marker service carries the digest; once `/api/rawdata` shows the marker, requests follow this file. A
router with `tls: {}` does not inherit its entry point's certificate resolver, so the file always names the resolver.
"""

from __future__ import annotations

import re
from typing import Any

from reconciler.model.observed import EDGE
from reconciler.tools.certificates import certificate_text
from reconciler.tools.rendering import package_text, render
from reconciler.tools.route_settings import RouteSettings
from reconciler.tools.traefik_keys import Keys, fallback_of, route_keys

# These forms must also suit grep -E. In htpasswd, a name is printable ASCII without colon and comma, and a line that
# begins with # is a comment for Traefik.
_ROUTE_HEAD = re.compile(
    r"# reconcile route slot=([0-9a-z]{1,16}) digest=([0-9a-f]{1,64})(?: attempt=([0-9]{1,15}))?"
    r"(?: servers=([A-Za-z0-9._:,-]{1,8000}))?"
)
_ROUTE_PART = re.compile(r"# part ([0-9a-f]{1,64}) ([ -~]{1,300})")
_SERVERS = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62}):([1-9][0-9]{3,4})")
HTPASSWD_LINE = re.compile(r"""[!"$-+.-9;-~-][!-+.-9;-~-]*:\$2[aby]\$(0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}""")
HAND_UNIT = "traefik.service"  # a Traefik set up by hand, for example with deploy/traefik/install.sh
HAND_MARK = "deploy/traefik/install.sh"  # in the head of the unit that our own script installs
DEFAULT_FILE = "00-certificate.yml"  # names the default certificate; the first file that names one counts
_NOT_ROUTES = (DEFAULT_FILE, "00-default-certificate.yml")


def default_text() -> str:
    """Return the text of the file that names the default certificate."""
    return package_text("templates/traefik-default.yml")


def route_files(names: list[str]) -> tuple[str, ...]:
    """Return the watched files that hold routes."""
    return tuple(sorted(name for name in names if name not in _NOT_ROUTES))


def route_text(settings: RouteSettings, slot: str, attempt: int = 0, *, held: bool = False) -> str:
    """Return the dynamic file that sends the app's visitors to one slot, `held` by way of the place where they wait.

    The htpasswd lines and the certificate for the files that it names follow after its end; the host separates them.
    A different `attempt` gives the same route in a text that Traefik takes for a change.
    Raises ValueError if the text would not read back as the same route.
    """
    route_digest = settings.digest(slot, held=held)
    marker = settings.marker(slot, route_digest) + (f"-{attempt}" if attempt else "")
    return _text(settings, slot, route_digest, attempt, (), settings.content(slot, marker, held=held))


def edge_route_text(settings: RouteSettings, servers: tuple[tuple[str, str], ...], attempt: int) -> str:
    """Return the dynamic file of an edge that sends the app's visitors to these slots. As `route_text` otherwise."""
    assert settings.balancer is not None
    content = settings.edge_content(servers, _edge_marker(settings, attempt))
    if settings.balancer.in_etcd:
        content = fallback_of(content)
        del content["http"]["services"][_edge_marker(settings, attempt)]  # the one that etcd has is waited for
    return _text(settings, EDGE, settings.edge_digest, attempt, servers, content)


def edge_keys(settings: RouteSettings, servers: tuple[tuple[str, str], ...], attempt: int) -> Keys:
    """Return the same route as keys for etcd."""
    content = settings.edge_content(servers, _edge_marker(settings, attempt))
    return route_keys({"http": content["http"]})  # a private key stays in a file


def _edge_marker(settings: RouteSettings, attempt: int) -> str:
    return f"{settings.marker(EDGE, settings.edge_digest)}-{attempt}"


def _text(
    settings: RouteSettings,
    slot: str,
    route_digest: str,
    attempt: int,
    servers: tuple[tuple[str, str], ...],
    content: dict[str, Any],
) -> str:
    import yaml

    kind = next(iter(content))
    text = render(
        "templates/route.yml.j2",
        app=settings.app,
        slot=slot,
        digest=route_digest,
        attempt=attempt,
        servers=",".join(f"{host}:{port}" for host, port in servers),
        parts=settings.parts,
        kind=kind,
        certificates=content.get("tls", {}).get("certificates", []),
        **{"middlewares": {}, **content[kind]},
    )
    if "{{" in text or yaml.safe_load(text) != content:
        raise ValueError(f"the route of {settings.app} would not read back as intended")
    if settings.htpasswd and settings.users:
        text += htpasswd_text(settings.users)
    return text + certificate_text(settings.certificate) if settings.certificate else text


def htpasswd_path(folder: str, app: str) -> str:
    """Return the path of an app's names and hashes: beside its route, where Traefik may read but finds no routes."""
    return f"{folder}/{app}.htpasswd"


def htpasswd_text(users: tuple[str, ...]) -> str:
    """Return the file of names and hashes. As in a route, its last line shows that the file is complete."""
    return "".join(f"{line}\n" for line in (*users, "# end"))


def read_route_head(lines: list[str]) -> tuple[str, str, int, tuple[tuple[str, str], ...]]:
    """Read (slot, digest, attempt, parts) from the head of a route file; all are empty if it is not ours."""
    head = _ROUTE_HEAD.fullmatch(lines[0]) if lines else None
    if head is None or (head[1] == EDGE) != bool(head[4]):
        return "", "", 0, ()
    parts = [found for line in lines[1:] if (found := _ROUTE_PART.fullmatch(line))]
    return head[1], head[2], int(head[3] or 0), tuple((found[2], found[1]) for found in parts)


def read_route_servers(lines: list[str]) -> tuple[tuple[str, str], ...]:
    """Read the (host, slot) pairs from the head of a route file; empty if it is not the file of an edge."""
    head = _ROUTE_HEAD.fullmatch(lines[0]) if lines else None
    named = [_SERVERS.fullmatch(each) for each in head[4].split(",")] if head and head[4] else []
    return tuple((found[1], found[2]) for found in named if found)


def read_htpasswd(text: str) -> tuple[str, ...]:
    """Read the lines of `htpasswd -nB`. Raises ValueError, whose message never quotes the text."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ValueError("is empty")
    for number, line in lines:
        if not HTPASSWD_LINE.fullmatch(line):
            raise ValueError(f"must have name:bcrypt-hash in line {number}")
    names = [line.partition(":")[0] for _, line in lines]
    if len(set(names)) < len(names):
        raise ValueError("names a user twice")
    return tuple(line for _, line in lines)
