"""The overrides of an app on each of its hosts: those of groups as they are written, the host's own over them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.desired_state.groups import Groups
from reconciler.desired_state.overlay import overlay, part_of
from reconciler.desired_state.yaml_text import Document
from reconciler.errors import Problem
from reconciler.model.addresses import GROUP

OVERRIDES = "overrides"
Layers = tuple[str, ...]
"""Keys below `overrides`, the lowest layer first."""


def layers_of(keys: Sequence[str], host: str, groups: Groups) -> Layers:
    """Return those of the keys that apply to the host, the lowest first."""
    of_groups = [key for key in keys if key.startswith(GROUP) and host in groups.get(key.removeprefix(GROUP), ())]
    return (*of_groups, *(key for key in keys if key == host))


def with_overrides(document: Document, layers: Layers) -> Document:
    """Return the app's document as it is with these layers, and without `overrides`."""
    for key in layers:
        document = overlay(document, part_of(document, (OVERRIDES, key)))
    return _without_overrides(document)


def _without_overrides(document: Document) -> Document:
    assert isinstance(document.value, dict)
    value = {key: each for key, each in document.value.items() if key != OVERRIDES}
    return Document(document.file, value, document.places, document.problems, document.refused)


def overrides_of_nobody(
    document: Document, app: str, hosts: Sequence[str], groups: Groups, of_environment: bool
) -> list[Problem]:
    """Return a problem for each key of `overrides` that applies to no host of the app.

    What an environment takes over from the app's own file may be about the hosts that the app has in production.
    """
    found = []
    for key in _keys(document.value):
        path = (OVERRIDES, key)
        taken_over = of_environment and not document.places[path].file
        if taken_over or any(layers_of([key], host, groups) for host in hosts):
            continue
        if key.startswith(GROUP):
            message = f"no host of {app} is in group {key.removeprefix(GROUP)}"
            known = [group for group, members in groups.items() if {*members} & {*hosts}]
            next_step = f"groups of its hosts: {', '.join(known)}" if known else "name a host"
        else:
            message, next_step = f"{app} does not run on {key}", f"name one of {', '.join(hosts)}, or a group of them"
        found.append(document.problem(path, message, next_step, at_key=True))
    return found


def _keys(value: object) -> list[str]:
    block: object = value.get(OVERRIDES) if isinstance(value, dict) else None
    return [*block] if isinstance(block, Mapping) else []
