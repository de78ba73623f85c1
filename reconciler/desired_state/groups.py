"""Groups of hosts, as an app names them: `hosts: [group:web, "!web3"]` → the names of the hosts. Pure.

Each entry adds its hosts in turn, a group those of fleet.yaml in the order that they have there. An entry with `!`
takes its host or group out of all that the others name. A host that two entries name has the place of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.desired_state.yaml_text import Document, KeyPath
from reconciler.model.addresses import GROUP

Groups = Mapping[str, tuple[str, ...]]
"""The hosts of each group."""

HOSTS: KeyPath = ("hosts",)


@dataclass
class _Chosen:
    """The hosts that a list names, each with the index of its entry, and what is wrong with the list."""

    hosts: dict[str, int] = field(default_factory=dict)
    problems: list[tuple[KeyPath, str, str]] = field(default_factory=list)


def with_hosts_of_groups(document: Document, groups: Groups) -> Document:
    """Return the document of an app with hosts in place of groups, here and in its processes.

    What is not a list of text is left to the model. Each host has the place of the entry that names it.
    """
    value = document.value
    if not isinstance(value, dict):
        return document
    named = _texts(value.get("hosts"))
    if named is None:
        return document
    chosen = choose(named, groups)
    document = _put(document, HOSTS, named, chosen)
    processes = value.get("processes")
    for name, process in processes.items() if isinstance(processes, dict) else ():
        own = _texts(process.get("hosts")) if isinstance(process, dict) else None
        if own:
            path = ("processes", name, "hosts")
            of_app = {group: tuple(host for host in hosts if host in chosen.hosts) for group, hosts in groups.items()}
            own_hosts = _Chosen() if chosen.problems else choose(own, of_app, f"no host of {value.get('app')}")
            document = _put(document, path, own, own_hosts, unknown=bool(chosen.problems))
    return document


def choose(named: Sequence[str], groups: Groups, none: str = "no host") -> _Chosen:
    """Work out the hosts that these entries name. `none` begins what is said of a group without a host."""
    chosen, without = _Chosen(), dict[int, Sequence[str]]()
    for index, entry in enumerate(named):
        name = entry.removeprefix("!")
        group = name.removeprefix(GROUP)
        hosts = groups.get(group, ()) if name.startswith(GROUP) else (name,)
        if entry.startswith("!"):
            without[index] = hosts
        else:
            chosen.hosts.update({host: index for host in hosts if host not in chosen.hosts})
        if not hosts:
            chosen.problems.append(((index,), f"{none} is in group {group}", _guess(group, groups)))
    wrong = {path for path, _, _ in chosen.problems}
    for index, entry in enumerate(named):
        if entry in named[:index]:
            chosen.problems.append(((index,), f"{entry} is listed twice", "delete one of the two"))
        elif index in without and (index,) not in wrong and not chosen.hosts.keys() & without[index]:
            message = f"{entry} leaves out nothing: no other entry names {entry[1:]}"
            chosen.problems.append(((index,), message, "delete it"))
    left = {host: index for host, index in chosen.hosts.items() if not any(host in hosts for hosts in without.values())}
    if chosen.hosts and not left:
        chosen.problems.append(((), "leaves out every host that it names", "name a host that is to run it"))
    chosen.hosts = left
    return chosen


def _guess(group: str, groups: Groups) -> str:
    from difflib import get_close_matches  # only needed after an error

    known = [name for name, hosts in groups.items() if hosts]
    if close := get_close_matches(group, known, n=1):
        return f"did you mean {GROUP}{close[0]}?"
    if known:
        return f"groups: {', '.join(known)}"
    return f"write groups: [{group}] at its hosts in fleet.yaml"


def _put(
    document: Document, path: KeyPath, named: Sequence[str], chosen: _Chosen, *, unknown: bool = False
) -> Document:
    """Return the document with these hosts at the path. What is wrong is told once, not by the model too."""
    if unknown or chosen.problems:
        found = tuple(document.problem((*path, *at), message, step) for at, message, step in chosen.problems)
        refused = {path, *_places_that_name_a_host(document)}
        return replace(document, problems=(*document.problems, *found), refused=document.refused | refused)
    if tuple(chosen.hosts) == tuple(named):
        return document
    places = dict(document.places)
    for number, index in enumerate(chosen.hosts.values()):
        written = (*path, index)
        places[*path, number] = document.places[written]._replace(path=written)
    return replace(document, value=_with(document.value, path, [*chosen.hosts]), places=places)


def _places_that_name_a_host(document: Document) -> set[KeyPath]:
    return {
        path for path in document.places if path[:1] in (("processes",), ("jobs",)) and path[-1] in ("host", "hosts")
    }


def _with(value: object, path: KeyPath, new: object) -> object:
    """Return a copy of these nested blocks with `new` at the path."""
    if not path:
        return new
    assert isinstance(value, dict)
    return {**value, path[0]: _with(value[path[0]], path[1:], new)}


def _texts(value: object) -> list[str] | None:
    """The list, if it is one of text in which an entry names a group or leaves a host out; else None."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return None
    return value if any(each.startswith(("!", GROUP)) for each in value) else None
