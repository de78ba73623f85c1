"""The rules and names of an app's http routers in Traefik: which requests each of them takes. Pure.

One app may need up to four routers: its exact names and its wildcards differ in priority, and a visitor who comes
through a trusted proxy is judged by another address than one who comes directly. No two of them take the same request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# By default the longer rule wins, and a rule with many domains is longer than one with a path.
PATH_PRIORITY = 10_000
# Below every router of an exact name, whatever its rule: those of other apps win.
WILDCARD_PRIORITY = -PATH_PRIORITY


@dataclass(frozen=True)
class Rule:
    """What one router takes. `suffix` follows the app's name in its own; a priority of 0 leaves it to Traefik."""

    suffix: str
    text: str
    priority: int
    domains: tuple[str, ...]
    proxied: bool  # it takes the visitors of trusted proxies only


def rules(domains: tuple[str, ...], path: str | None, proxies: tuple[str, ...]) -> Iterator[Rule]:
    """Yield the rule of each router. With `proxies`, their visitors get routers of their own."""
    exact = tuple(domain for domain in domains if not domain.startswith("*."))
    wildcards = tuple(domain for domain in domains if domain.startswith("*."))
    for names, is_wildcard in ((exact, False), (wildcards, True)):
        if not names:
            continue
        suffix = ".wildcard" if is_wildcard and exact else ""
        hosts = " || ".join(map(_host_rule, names))
        text = f"({hosts}) && (Path(`{path}`) || PathPrefix(`{path}/`))" if path else hosts  # PathPrefix takes /apiary
        priority = (WILDCARD_PRIORITY if is_wildcard else PATH_PRIORITY if path else 0) + len(path or "")
        if not proxies:
            yield Rule(suffix, text, priority, names, proxied=False)
            continue
        through = " || ".join(f"ClientIP(`{each}`)" for each in proxies)
        yield Rule(suffix, f"({text}) && !({through})", priority, names, proxied=False)
        yield Rule(f"{suffix}.proxied", f"({text}) && ({through})", priority, names, proxied=True)


def _host_rule(domain: str) -> str:
    if not domain.startswith("*."):
        return f"Host(`{domain}`)"
    # One label, as in a certificate. Traefik compares names in lower case.
    return f"HostRegexp(`^[a-z0-9_-]+{domain[1:].replace('.', '[.]')}$`)"


def is_router_of(app: str, name: str) -> bool:
    """True if a router of this name serves the app or redirects to it. App names do not have a dot."""
    return bool(re.fullmatch(rf"{re.escape(app)}((\.wildcard)?(\.proxied)?|-redirect\..+)@(file|etcd)", name))
