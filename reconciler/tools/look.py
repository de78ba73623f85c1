"""Reading what `scripts/look.sh` prints: one look at a host. Pure; tested on output saved from real hosts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from reconciler.model.machine import Layout
from reconciler.model.observed import (
    TRAEFIK,
    CrashDump,
    HostFacts,
    Identity,
    Lease,
    ObservedApp,
    Quarantine,
    RouteFile,
)
from reconciler.tools import systemd
from reconciler.tools.look_sections import Places, Sections, lines_of
from reconciler.tools.look_slot import read_slot, state_of
from reconciler.tools.traefik import DEFAULT_FILE, HAND_MARK, HAND_UNIT, marker, read_route_head, route_files


def layout_words(layout: Layout) -> tuple[str, ...]:
    """The folders in the order in which every script takes them."""
    return layout.releases, layout.env, layout.units, layout.state, layout.traefik


@dataclass(frozen=True)
class Reply:
    """What a script sent back: how its change ended (0 when it only looked), its journal lines, and the look."""

    status: int
    log: tuple[str, ...]
    facts: HostFacts
    lease: Lease
    apps: dict[str, ObservedApp]
    said: str = ""  # on stderr
    queued_seconds: float = 0.0  # before the script was begun


class Unreadable(ValueError):
    """The text is not a whole look: cut off, or not from our script."""


def read_reply(text: str, layout: Layout) -> Reply:
    """One reply. Raises Unreadable when it was cut off: half a look is no look."""
    before, begin, after = f"\n{text}".partition("\n@@begin\n")
    body, end, _ = after.rpartition("\n@@end")
    if not begin or not end:
        raise Unreadable("the reply is not whole")
    status = next((int(line.split()[1]) for line in lines_of(before) if line.startswith("@@result ")), 0)
    log = tuple(line.removeprefix("| ") for line in lines_of(before) if line.startswith("| "))
    sections = Sections(body)
    layout = layout.at_home(sections.host.get("home", ""))
    apps = {name: _read_app(name, lines, sections, layout) for name, lines in sections.apps.items()}
    return Reply(status, log, _read_facts(sections), _read_lease(sections.host), apps)


def _read_facts(sections: Sections) -> HostFacts:
    host = sections.host
    others = sections.apps.keys() - {TRAEFIK}  # an app may be called traefik-something
    traefiks = [
        show
        for unit, show in sections.units.items()
        if unit.startswith("traefik") and unit.partition("@")[0] not in others
    ]
    return HostFacts(
        boot_id=host.get("boot", ""),
        now_epoch_seconds=int(host.get("now", 0)),
        machine=host.get("machine", ""),
        libc=host.get("libc", ""),
        memory_available_kib=int(host.get("memory", 0)),
        releases_free_kib=int(host.get("free", 0)),
        route_trouble=host.get("noroutes", ""),
        traefik_up=any(state_of(show) in ("active", "activating") for show in traefiks),
    )


def _read_lease(host: dict[str, str]) -> Lease:
    generation, token, left, holder = (*host.get("lease", "").split(" "), "", "", "", "")[:4]
    return Lease(int(generation or 0), token or "-", int(left or 0), holder or "-")


def _read_app(name: str, lines: list[list[str]], sections: Sections, layout: Layout) -> ObservedApp:
    inventory = {
        path.strip(): sha for kind, sha, *rest in lines if kind == "inventory" for path in rest if path.strip()
    }
    places = Places(name, layout)
    named = {unit.partition("@")[2].removesuffix(".service") for unit in sections.units if unit.startswith(f"{name}@")}
    slots = tuple(read_slot(slot, lines, sections, places, inventory) for slot in sorted(named))
    released = sorted((float(line[1]), line[2]) for line in lines if line[0] == "release")
    names = [release for _, release in released]
    ours = [path for path in (places.unit, places.route, places.htpasswd) if path in sections.sums]
    ours += [places.env(slot.name) for slot in slots if places.env(slot.name) in sections.sums]
    app = ObservedApp(
        slots=slots,
        releases=tuple(each for each in names if not each.startswith(".")),
        leftovers=tuple(each for each in names if each.startswith(".")),
        migrated=tuple(line[1] for line in lines if line[0] == "migrated"),
        quarantined=tuple(_read_quarantine(line) for line in lines if line[0] == "quarantine" and len(line) > 2),
        unit=systemd.read_unit_head((sections.heads.get(places.unit) or [""])[0]),
        unit_intact=sections.sums.get(places.unit) == inventory.get(places.unit)
        and (places.epmd not in inventory or sections.sums.get(places.epmd) == inventory[places.epmd]),
        foreign=tuple(path for path in ours if path not in inventory),
        taken=tuple(place for place in places.handed_over if ["taken", place] in lines),
        damaged=tuple(line[1] for line in lines if line[0] == "damaged"),
        owner=next((" ".join(line[1:]) for line in lines if line[0] == "owner"), ""),
        commit=next((line[1] for line in lines if line[0] == "commit"), ""),
        suspended=next((_read_suspension(line, sections) for line in lines if line[0] == "suspended"), ""),
        route=_read_route(lines, sections, places, inventory),
        route_deleted=places.route in inventory and places.route not in sections.sums,
        crash_dumps=tuple(CrashDump(line[2], int(line[1])) for line in lines if line[0] == "dump"),
    )
    return _read_traefik(app, lines, sections, places, inventory) if name == TRAEFIK else app


def _read_traefik(
    app: ObservedApp, lines: list[list[str]], sections: Sections, places: Places, inventory: dict[str, str]
) -> ObservedApp:
    """Traefik has no route of its own: a file of its name is somebody's. What it is asked besides is here."""
    hand, default = f"{places.layout.units}/{HAND_UNIT}", f"{places.layout.traefik}/{DEFAULT_FILE}"
    show = sections.units.get(HAND_UNIT, {})
    enabled = any(line[0] == "enabled" and line[1] == HAND_UNIT for line in lines)
    works = enabled or state_of(show) in ("active", "activating")
    ours = hand in inventory or any(HAND_MARK in line for line in sections.heads.get(hand, []))
    foreign = tuple(path for path in app.foreign if path != places.route)
    certificate = any(line[0] == "certificate" for line in lines) and sections.sums.get(default) == inventory.get(
        default
    )
    slots = app.slots if certificate else tuple(replace(slot, files_intact=False) for slot in app.slots)
    return replace(
        app,
        slots=slots,
        route=None,
        foreign=(*foreign, hand) if works and not ours else foreign,
        by_hand=HAND_UNIT if works and ours else "",
        watched=route_files([" ".join(line[1:]) for line in lines if line[0] == "watched"]),
        markers=_markers(sections, places.layout.traefik),
    )


def _markers(sections: Sections, folder: str) -> tuple[str, ...]:
    """What Traefik shows once it has applied the route files of ours."""
    found = []
    for path, head in sorted(sections.heads.items()):
        name = path.removeprefix(f"{folder}/").removesuffix(".yml")
        slot, digest, _ = read_route_head(head)
        if slot and path == f"{folder}/{name}.yml":
            found.append(marker(name, slot, digest))
    return tuple(found)


def _read_route(
    lines: list[list[str]], sections: Sections, places: Places, inventory: dict[str, str]
) -> RouteFile | None:
    if places.route not in sections.sums:
        return None
    slot, route_digest, parts = read_route_head(sections.heads.get(places.route, []))
    written = next((int(line[1]) for line in lines if line[0] == "routed"), 0)
    intact, htpasswd_intact = (
        sections.sums.get(path) == inventory.get(path) for path in (places.route, places.htpasswd)
    )
    age_seconds = max(0, int(sections.host.get("now", 0)) - written) if written else 0
    return RouteFile(slot, route_digest, intact, htpasswd_intact, age_seconds, parts)


def _read_quarantine(words: list[str]) -> Quarantine:
    *parts, attempt = words[2].split("/") if words[2].count("/") == 3 else [words[2], ""]
    identity = Identity.read("/".join(parts)) or Identity(words[2], "", "")
    reason = words[3].strip() if len(words) > 3 else ""
    return Quarantine(identity, reason, int(words[1]), attempt)


def _read_suspension(words: list[str], sections: Sections) -> str:
    """`by WHO until WHEN: WHY`; "" when it is over."""
    until, who, reason = int(words[1]), words[2], " ".join(words[3:]).strip()
    if until and until <= int(sections.host.get("now", 0)):
        return ""
    end = f" until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC" if until else ""
    return f"by {who}{end}: {reason}"
