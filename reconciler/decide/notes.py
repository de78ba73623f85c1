"""What the operator should know although an app is converged. Pure."""

from __future__ import annotations

from reconciler.decide.case import Case
from reconciler.decide.certificates import certificate_note
from reconciler.decide.exposure import exposure_note
from reconciler.decide.host_faults import noexec_note
from reconciler.decide.jobs import failed_note, zone_note
from reconciler.decide.unit_changes import unit_change_notes
from reconciler.model.action import Converged


def converged_with_notes(case: Case) -> Converged:
    """Return Converged, with what was noticed on the way."""
    asked = (certificate_note, exposure_note, noexec_note, zone_note, failed_note)
    notes = [note for note in (*(ask(case) for ask in asked), *unit_change_notes(case)) if note]
    return Converged(
        *case.where,
        case.identity.version,
        case.slot.name,
        "; ".join(note.text for note in notes) or None,
        "; ".join(note.next_step for note in notes) or None,
    )
