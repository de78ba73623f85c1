"""Certificates of the routed names: Traefik obtains them; reconcile checks for them and makes Traefik ask again. Pure.

One of the app's own is written beside the route. Then Traefik must hold that very one, which its end tells from others.

Measured on Traefik 3.7: it asks again for a missing certificate only when its configuration changes, neither
periodically nor on SIGHUP, and then for all missing names of every app. Let's Encrypt allows five failed attempts per
name and hour.
"""

from __future__ import annotations

from reconciler.decide.case import Case
from reconciler.decide.exposure import Note
from reconciler.decide.own_certificate import note_on_own
from reconciler.decide.routing import next_attempt
from reconciler.model.action import BalanceRoute, RetryCertificates, Step, WaitCertified
from reconciler.model.observed import EDGE, Certificate, ObservedHost
from reconciler.model.target import Target

WITHIN_SECONDS = 15  # the usual time is 2 to 10 s
RETRY_SECONDS = 3600
ASKED_FOR_SECONDS = 10 * 365 * 86_400  # `reconcile retry` sets the time of the route file back to 1970


def names_without_certificate(target: Target, seen: ObservedHost) -> tuple[str, ...]:
    """The names of the route for which Traefik lacks the certificate; empty if Traefik does not show any."""
    if target.route is None or seen.certificates is None:
        return ()
    held = {name.lower() for each in seen.certificates if _counts(each, target, seen) for name in each.names}
    return tuple(name for name in target.route.certified if not {name, f"*.{name.partition('.')[2]}"} & held)


def _counts(held: Certificate, target: Target, seen: ObservedHost) -> bool:
    own = target.route.certificate if target.route else None
    if own:
        return held.ends_epoch_seconds == own.ends_epoch_seconds
    return held.ends_epoch_seconds > seen.facts.now_epoch_seconds


def first_end(target: Target, seen: ObservedHost) -> int | None:
    """When the first of the certificates that serve the route ends; None if Traefik shows none for it."""
    names = set(target.route.certified) if target.route else set()
    names |= {f"*.{name.partition('.')[2]}" for name in names}
    shown = [each for each in seen.certificates or () if {name.lower() for name in each.names} & names]
    return min((each.ends_epoch_seconds for each in shown if _counts(each, target, seen)), default=None)


def certify(case: Case) -> Step | None:
    """Wait a little after a route was written; make Traefik ask again an hour after the last change of any route."""
    names, route = names_without_certificate(case.target, case.seen), case.app.route
    if not names or route is None or case.app.uncertified:
        return None
    last_change = min(app.route.age_seconds for app in case.seen.apps.values() if app.route)
    if last_change < WITHIN_SECONDS or case.seen.certificates_at <= case.seen.facts.now_epoch_seconds - last_change:
        return WaitCertified(*case.where, f"within {WITHIN_SECONDS} s; visitors are served meanwhile", names)
    if last_change < RETRY_SECONDS and route.age_seconds < ASKED_FOR_SECONDS:
        return None
    asks = "asks for it again" if case.target.route and not case.target.route.certificate else "reads it"
    why = f"no certificate for {', '.join(names)}; Traefik {asks} only when its configuration changes"
    if route.slot == EDGE:
        return BalanceRoute(*case.where, why, route.servers, next_attempt(case))
    return RetryCertificates(*case.where, why, case.slot.name, case.slot.invocation, next_attempt(case))


def certificate_note(case: Case) -> Note | None:
    """Return the note on certificates that are missing, or on one of the app's own that ends; else None."""
    names = names_without_certificate(case.target, case.seen)
    if case.target.route and (own := case.target.route.certificate):
        return note_on_own(own, names, case)
    if not names:
        return None
    return Note(
        f"https for {', '.join(names)} is answered with Traefik's default certificate",
        "point its DNS to this host and open port 80 to the CA (journalctl -u traefik shows the CA's "
        f"answer), then run reconcile retry {case.target.app}; otherwise it is retried every hour. If you want no "
        "certificate, set an empty cert_resolver in fleet.yaml",
    )
