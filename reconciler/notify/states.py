"""The state of one app on one host, in words that change only when the state does. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.errors import ReconcileError
from reconciler.model.action import AnyAction, Converged
from reconciler.notify.problems import WORDLESS, error_kind
from reconciler.tools.masks import mask

if TYPE_CHECKING:
    from reconciler.model.observed_job import JobRun
    from reconciler.model.outcome import Outcome

LONGEST_TEXT: Final = 300

_UNITS = (
    r"ms|s|sec|seconds?|min|minutes?|h|hours?|d|days?|times|bytes|[KMGT]i?B|attempts?|requests?|connections?|restarts?"
)
_VARIES = re.compile(
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"  # points in time
    r"|\b\d\d:\d\d:\d\d\b"
    r"|\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{32,}\b"  # addresses in memory, invocation ids
    rf"|(?<![\w.])\d+(?:\.\d+)?(?=\s?(?:{_UNITS})\b|\s?%)"  # quantities, but not versions
    r"|(?<=\bpid )\d+|(?<=\bPID )\d+|(?<=\battempt )\d+"
)
# Actions of a rollout, as opposed to a repair.
_ROLLOUT: Final = frozenset({"migrate", "start", "enable", "goback", "reject"})
# Actions that a pass does without a change that people care about.
_HOUSEKEEPING: Final = frozenset({"prune", "confirm", "drain", "stop", "retry", "certify", "hold", "unhold"})


@dataclass(frozen=True)
class State:
    """A state to compare: equal states are the same news. Explanations are not compared."""

    version: str  # the version that runs as desired; "" if there is a problem, or if the app is removed as desired
    problem: str = ""  # the kind of the problem
    digest: str = ""  # of the problem's fixed text
    text: str = field(default="", compare=False)
    next_step: str = field(default="", compare=False)
    serving: str = field(default="", compare=False)  # the version that serves despite the problem
    changed: str = field(default="", compare=False)  # what this pass did to get there; "" for nothing notable
    rolled_out: bool = field(default=False, compare=False)  # this pass moved the app, or tried to

    @property
    def name(self) -> str:
        """The state as a kind or a short sentence, without free text."""
        return self.problem or (f"runs {self.version}" if self.version else "is removed, as wanted")


def state_of(outcome: Outcome, secrets: Collection[str] = ()) -> State:
    """Return the state that an outcome shows. None of its texts contains any of `secrets`."""
    end = outcome.end
    changed = _change_text(outcome.actions, secrets)
    rolled_out = any(action.verb in _ROLLOUT for action in outcome.actions)
    if isinstance(end, Converged):
        return State(end.version, changed=changed, rolled_out=rolled_out)
    problem = end.kind
    text = fixed_text(end.reason.removeprefix(f"host {end.host}: "), secrets)
    digest = "" if problem in WORDLESS else hashlib.sha256(text.encode()).hexdigest()[:16]
    return State(
        "",
        problem,
        digest,
        text,
        fixed_text(end.next_step or "", secrets),
        end.serving or "",
        changed,
        rolled_out=rolled_out,
    )


def states_of_jobs(outcome: Outcome) -> dict[tuple[str, str], State]:
    """Return the state of each job of the app that has run on the host, by a name that no app may have."""
    return {
        (f"{outcome.end.app} job {job.name}", outcome.end.host): _state_of_job(outcome.end.app, job.name, job.last)
        for job in outcome.jobs
        if job.files and job.last
    }


def _state_of_job(app: str, job: str, last: JobRun) -> State:
    if not last.failed:
        return State("well")
    text = f"its last run {last.how}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return State("", "job_failed", digest, text, f"reconcile logs {app} --job {job}")


def state_of_desired_state(error: ReconcileError | None, secrets: Collection[str] = ()) -> State:
    """Return the state of the desired state itself: usable, or the error that says why not."""
    if error is None:
        return State("")
    text = fixed_text(str(error), secrets)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return State("", error_kind(error), digest, text, fixed_text(error.next_step, secrets))


def fixed_text(text: str, secrets: Collection[str] = ()) -> str:
    """Return `text` on one line, without secrets, and without the parts that vary between looks: times, counts, ids."""
    line = " ".join(mask(text, secrets).split())
    line = _VARIES.sub("…", "".join(letter for letter in line if letter.isprintable()))
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"


def _change_text(actions: Sequence[AnyAction], secrets: Collection[str]) -> str:
    notable = [action for action in actions if action.verb not in _HOUSEKEEPING]
    if not notable:
        return ""
    # The first rollout action gives the best reason: the upload before it only says that something was missing.
    first = next((action for action in notable if action.verb in _ROLLOUT), notable[0])
    return fixed_text(f"{first.verb} {first.subject}".rstrip() + f": {first.reason}", secrets)
