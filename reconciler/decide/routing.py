"""Checks of Traefik before a route is written, and the confirmation that Traefik has applied it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.decide.case import Case
from reconciler.decide.guards import belongs_to_another
from reconciler.decide.own_certificate import check_certificate
from reconciler.errors import Kind
from reconciler.model.action import Blocked, ConfirmRoute, Step
from reconciler.model.observed import AppliedRoute, ObservedHost, RouteFile

_DOMAIN = "domain "  # as in `RouteSettings.parts`


def check_route(case: Case) -> Blocked | None:
    """Return Blocked if the desired route would not serve its names, else None."""
    return check_entry_points(case) or check_names(case) or check_certificate(case)


def check_entry_points(case: Case) -> Blocked | None:
    """Refuse a route to an entry point that Traefik does not have; writing it would take the app offline."""
    route, known = case.target.route, case.seen.entry_points
    missing = [name for name in route.entry_points if name not in known] if route and known is not None else []
    if not missing:
        return None
    return case.block(
        "traefik",
        f"Traefik has no entry point {missing[0]}; it has {', '.join(known or ()) or 'none'}",
        "add it to traefik.tcp_ports in fleet.yaml, or to the static configuration if you manage Traefik yourself; or "
        "correct the name (route.tcp.entry_point, or traefik in fleet.yaml)",
    )


def check_names(case: Case) -> Blocked | None:
    """Refuse a new name that an app of another desired state serves on this host: only one of them would have visitors.

    Names that this app has in its route already stay; so do those of an app that it replaces in the same desired state.
    """
    app, route = case.app, case.target.route
    if route is None or app.route_deleted:
        return None
    held = dict(app.route.parts) if app.route else {}
    for name, other in sorted(case.seen.apps.items()):
        if not other.route or not belongs_to_another(other.owner, case.target.owner):
            continue
        if clash := _shared_name(dict(route.parts), held, dict(other.route.parts)):
            return case.block(
                "foreign",
                f"{clash} is already served by {name} on this host, an app of another desired state",
                f"use another name here, or delete it from the route of {name} there",
            )
    return None


def _shared_name(ours: Mapping[str, str], held: Mapping[str, str], theirs: Mapping[str, str]) -> str | None:
    """The first domain that both routes have, on the same entry point and path; not one that we hold already."""
    if any(ours.get(part) != theirs.get(part) for part in ("entry point", "path")):
        return None
    names = [part for part in ours if part.startswith(_DOMAIN) and part in theirs and part not in held]
    return names[0].removeprefix(_DOMAIN) if names else None


def check_route_writable(case: Case) -> Blocked | None:
    """Return Blocked if a route cannot be written now, or if Traefik could not confirm it, else None."""
    if case.target.edges:
        return None  # it is written there
    if case.seen.facts.route_trouble:
        return case.block(
            "traefik",
            f"no route can be written: {case.seen.facts.route_trouble}",
            "let Traefik's file provider read a folder that the login can write to, and name it in paths.traefik; "
            "or delete route: from the app",
        )
    return block_on_silent_traefik(case) if case.seen.traefik else None


def block_on_silent_traefik(case: Case) -> Blocked:
    """Return Blocked: without its API, Traefik confirms no route. If its unit is active, it may still be starting."""
    reason = f"Traefik does not answer: {case.seen.traefik}"
    kind: Kind = "starting" if case.seen.facts.traefik_up else "traefik"
    return replace(case.block(kind, reason, "systemctl status 'traefik*' on the host"), retryable=True)


def attempt_of(case: Case, slot: str) -> int:
    """Return the number for the route of this slot: that of the file, if there is nothing to change in it."""
    found, wanted = case.app.route, case.target.route
    if found and wanted and found.as_written and (found.slot, found.digest) == (slot, wanted.digests[slot]):
        return found.attempt
    return next_attempt(case)


def next_attempt(case: Case) -> int:
    """Return the number of the next write of the route: larger than each that the host or its Traefik still shows."""
    shown = [each.attempt for each in (case.app.route, case.app.applied) if each and each.attempt]
    return max(case.seen.facts.now_epoch_seconds, *(attempt + 1 for attempt in shown), 0)


def is_applied(applied: AppliedRoute | None, route: RouteFile) -> bool:
    """True if Traefik has applied this very file, and holds its router enabled."""
    return bool(applied and not applied.problem and (applied.digest, applied.attempt) == (route.digest, route.attempt))


def confirm_drop(where: tuple[str, str], seen: ObservedHost) -> Step | None:
    """Confirm that Traefik has dropped the route whose file was removed; None if it holds none."""
    app = seen.app(where[1])
    if not app.applied:
        return None
    if problem := seen.traefik or app.unconfirmed:
        reason, next_step = f"Traefik still holds its route: {problem}", "systemctl status 'traefik*' on the host"
        return Blocked(*where, reason, next_step, retryable=bool(seen.traefik), kind="traefik")
    return ConfirmRoute(*where, "Traefik must have dropped the route", "", "")


def confirm(case: Case, route: RouteFile) -> Step:
    """Confirm that Traefik has applied this route; Blocked if it has not and will not."""
    app = case.app
    if blocked := check_entry_points(case):
        return blocked
    if case.seen.traefik and not case.target.edges:
        return block_on_silent_traefik(case)
    if app.unconfirmed:
        problem = app.applied.problem if app.applied and app.applied.problem else app.unconfirmed
        return case.block(
            "traefik",
            f"Traefik has not applied the route: {problem}",
            "journalctl -u 'traefik*' on the host; one bad file in its directory freezes all of them",
        )
    return ConfirmRoute(*case.where, "Traefik must have applied the route", route.slot, route.digest, route.attempt)
