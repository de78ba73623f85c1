"""Two ports that no app of the fleet has, for a new app. Whoever gets them writes them down: they stay the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from reconciler.desired_state.files import FLEET
from reconciler.desired_state.yaml_text import read_yaml
from reconciler.errors import UsageError
from reconciler.model.values import PORTS_OF_CLIENTS

AUTO: Final = "auto"
_FIRST: Final = 4000
_TRAEFIK: Final = {8080, 8081}  # its API, where fleet.yaml does not say otherwise


def free_ports(files: Mapping[str, bytes], but: str = "") -> tuple[int, int]:
    """Return the lowest free pair. `files` are those of the desired state, without the app's own, `but`.

    Ports are unique in the fleet, though one machine would do: an app may move. A number in a file that is not valid
    counts, too. Raises UsageError if none is left.
    """
    names = [name for name in files if name != but and (name == FLEET or name.startswith("apps/"))]
    documents = [read_yaml(files[name], name).value for name in names]
    taken = {int(text) for document in documents for text in _numbers(document)} | _TRAEFIK
    for first in range(_FIRST, PORTS_OF_CLIENTS.start, 2):
        if not {first, first + 1} & taken:
            return first, first + 1
    raise UsageError("no two ports are free in the fleet", "write ports: with two of your choice")


def _numbers(node: object) -> Iterator[str]:
    """Yield every number below the keys that hold ports."""
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from _texts(inner) if "port" in str(key) else _numbers(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _numbers(inner)


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, str) and node.isascii() and node.isdecimal() and len(node) < 6:
        yield node
    elif isinstance(node, dict):
        for inner in node.values():
            yield from _texts(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _texts(inner)
