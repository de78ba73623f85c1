"""A certificate of the app's own: it must be good when it is written, and its end is told early. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.decide.case import Case
from reconciler.decide.exposure import Note
from reconciler.model.action import Blocked
from reconciler.model.target import OwnCertificate

SOON_SECONDS = 14 * 86_400  # a certificate that ends within this time deserves a look
_PART = "certificate"  # as in `RouteSettings.parts`


def check_certificate(case: Case) -> Blocked | None:
    """Refuse to serve a certificate of one's own that has ended. One that ended while it was served stays."""
    own = case.target.route.certificate if case.target.route else None
    if own is None or own.ends_epoch_seconds > case.seen.facts.now_epoch_seconds:
        return None
    wanted = dict(case.target.route.parts).get(_PART) if case.target.route else None
    if case.app.route and dict(case.app.route.parts).get(_PART) == wanted:
        return None
    return case.block("secret", f"{_end_of(own, 'ended')}, so visitors would refuse it", _renew(own))


def _end_of(own: OwnCertificate, verb: str) -> str:
    day = datetime.fromtimestamp(own.ends_epoch_seconds, UTC).date().isoformat()
    return f"the certificate in the secret {own.secret} {verb} on {day}"


def _renew(own: OwnCertificate) -> str:
    return (
        f"get a new one and set the secret again: `cat fullchain.pem privkey.pem | reconcile secrets set {own.secret}`"
    )


def note_on_own(own: OwnCertificate, names: tuple[str, ...], case: Case) -> Note | None:
    left_seconds = own.ends_epoch_seconds - case.seen.facts.now_epoch_seconds
    if left_seconds < SOON_SECONDS:
        return Note(_end_of(own, "ends" if left_seconds > 0 else "ended"), _renew(own))
    if not names:
        return None
    return Note(
        f"https for {', '.join(names)} is not answered with the certificate in the secret {own.secret}",
        "journalctl -u 'traefik*' on the host shows why; Traefik must be able to read the .pem beside its route",
    )
