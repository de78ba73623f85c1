"""The actions that can be done to a host: a closed family. Each action carries the reason for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from reconciler.errors import Kind
from reconciler.model.identity import Identity
from reconciler.model.observed import EDGE, HookName

Drift = Literal["stopped", "failed", "env", "unit", "route", "enabled", "release", "rights", "second_slot", "job"]
"""The thing that someone changed on the host and that an action restores."""


MarksHook = Literal["due", "none", "keep"]
"""What an action does about the host's mark of a hook: the hook is due once the rollout has ended; or on no account, as
another host runs it; or the action is not a part of a rollout's beginning or failure."""


@dataclass(frozen=True)
class Action:
    """One thing done to one app on one host."""

    host: str
    app: str
    reason: str
    drift: Drift | None = field(default=None, kw_only=True)  # None: the action belongs to a rollout

    verb: ClassVar[str] = ""

    @property
    def subject(self) -> str:
        """The noun of the plan line, without the app."""
        return ""


@dataclass(frozen=True)
class InstallRelease(Action):
    """Upload the release and make it visible by one rename."""

    release: str
    replaces_damaged: bool = False
    copied: bool = False  # from the app that this is a process of, which has it on the host
    verb = "install"

    @property
    def subject(self) -> str:
        return self.release


@dataclass(frozen=True)
class SlotAction(Action):
    """An action on one slot."""

    slot: str

    @property
    def subject(self) -> str:
        return f"slot {self.slot}"


@dataclass(frozen=True)
class Migrate(Action):
    """Run the migration once per release, with the new code and the new env, before any slot is touched."""

    identity: Identity
    hook: MarksHook = field(default="none", kw_only=True)  # on_failure, if it fails
    verb = "migrate"

    @property
    def subject(self) -> str:
        return self.identity.release


@dataclass(frozen=True)
class StartInstance(SlotAction):
    """Write the slot's files and start its unit. An instance in the slot is stopped first; its files are kept."""

    identity: Identity
    takes_over: str | None = None  # a unit set up by hand that must release the ports first
    hook: MarksHook = field(default="none", kw_only=True)  # after_rollout
    verb = "start"

    @property
    def subject(self) -> str:
        return f"slot {self.slot}, {self.identity.version}"


@dataclass(frozen=True)
class StartAgain(SlotAction):
    """Start the version that the slot's files describe already: the one that served before."""

    verb = "restart"


@dataclass(frozen=True)
class RepairFiles(SlotAction):
    """Write the slot's files again; the process keeps running."""

    identity: Identity
    verb = "repair"


@dataclass(frozen=True)
class RestoreRights(Action):
    """Give the app's folders and files their owner and mode back."""

    verb = "restore"

    @property
    def subject(self) -> str:
        return "modes and owners"


@dataclass(frozen=True)
class WaitHealthy(SlotAction):
    """Ask the instance itself until it has been healthy for long enough, or cannot become healthy any more."""

    verb = "wait"


@dataclass(frozen=True)
class Cutover(SlotAction):
    """Enable the slot for boot, then write the route that names it.

    Each write has an `attempt` of its own: a text that Traefik has not read before, and a marker that only this very
    file has. Traefik may not have applied an earlier file with the same route yet.
    """

    invocation: str
    from_slot: str | None = None
    attempt: int = 0
    verb = "cutover"

    @property
    def subject(self) -> str:
        return f"slot {self.from_slot} → {self.slot}" if self.from_slot else f"slot {self.slot}"


@dataclass(frozen=True)
class HoldVisitors(SlotAction):
    """Write the route so that visitors wait while the only instance is replaced. They get through after a minute."""

    invocation: str
    attempt: int = 0
    verb = "hold"


@dataclass(frozen=True)
class EndHold(Action):
    """Remove the place where visitors waited."""

    verb = "unhold"


@dataclass(frozen=True)
class EnableInstance(SlotAction):
    """Enable the slot for boot, which makes it the live one. For an app without a route."""

    invocation: str
    takes_over: str | None = None  # a unit set up by hand that must not start again
    verb = "enable"


@dataclass(frozen=True)
class ConfirmRoute(SlotAction):
    """Check that Traefik has applied the route of the slot, its router enabled. Without a slot: that it holds none."""

    digest: str
    attempt: int = 0
    verb = "confirm"

    @property
    def subject(self) -> str:
        return super().subject if self.slot not in ("", EDGE) else "route"


@dataclass(frozen=True)
class BalanceRoute(Action):
    """Write the route of an edge: the list of the proven instances, one for each host of the app."""

    servers: tuple[tuple[str, str], ...]  # (host, slot)
    attempt: int = 0
    verb = "balance"

    @property
    def subject(self) -> str:
        return ", ".join(f"{host}:{slot}" for host, slot in self.servers)


@dataclass(frozen=True)
class RetryCertificates(SlotAction):
    """Write the same route with another `attempt`: only a changed file makes Traefik ask the CA again."""

    invocation: str
    attempt: int
    verb = "retry"


@dataclass(frozen=True)
class WaitCertified(Action):
    """Wait for Traefik to get the certificates of these names. Visitors are served meanwhile."""

    names: tuple[str, ...]
    verb = "certify"

    @property
    def subject(self) -> str:
        return ", ".join(self.names)


@dataclass(frozen=True)
class RemoveRoute(Action):
    """Remove the app's route from Traefik."""

    verb = "unroute"


@dataclass(frozen=True)
class Soak(SlotAction):
    """Watch the new instance for a while, with the old one kept warm."""

    verb = "soak"


@dataclass(frozen=True)
class GoBack(SlotAction):
    """Give the route back to the version before, and quarantine the one that failed after its cutover."""

    invocation: str
    failed: Identity
    why: str
    from_slot: str
    attempt: int = 0
    hook: MarksHook = field(default="none", kw_only=True)  # on_failure
    verb = "goback"

    @property
    def subject(self) -> str:
        return f"slot {self.from_slot} → {self.slot}"


@dataclass(frozen=True)
class RemoveApp(Action):
    """Remove all files of an app that neither runs nor is routed."""

    verb = "remove"


@dataclass(frozen=True)
class Drain(SlotAction):
    """Let open requests of the old slot end."""

    within_seconds: float | None = field(default=None, kw_only=True)  # None: the app's drain_seconds
    verb = "drain"


@dataclass(frozen=True)
class StopInstance(SlotAction):
    """Disable and stop a slot that serves no visitors, and remove its files."""

    verb = "stop"


@dataclass(frozen=True)
class RejectRelease(SlotAction):
    """Quarantine this identity on the host, stop it, and start again what it replaced in a single slot."""

    identity: Identity
    why: str
    takes_over: str | None = None  # a unit set up by hand that is started again
    hook: MarksHook = field(default="none", kw_only=True)  # on_failure
    verb = "reject"


@dataclass(frozen=True)
class RunHook(Action):
    """Run a hook that is due. Once only: a hook that fails, or is cut off by a reboot, is not run again."""

    hook: HookName
    identity: Identity
    otherwise: Converged | Blocked | None = field(default=None, kw_only=True)  # the answer while the hook has to wait
    verb = "hook"

    @property
    def subject(self) -> str:
        return f"{self.hook}, {self.identity.version}"


@dataclass(frozen=True)
class PruneReleases(Action):
    """Remove releases that are not needed any more, and unfinished uploads."""

    releases: tuple[str, ...]
    verb = "prune"

    @property
    def subject(self) -> str:
        return ", ".join(self.releases)


@dataclass(frozen=True)
class ScheduleJobs(Action):
    """Write the units of all jobs of the app, remove those of former ones, and start and stop their timers."""

    jobs: tuple[str, ...]  # those that differ
    held_back: tuple[str, ...] = field(default=(), kw_only=True)  # new here, but still at home in another place
    verb = "schedule"

    @property
    def subject(self) -> str:
        return f"job{'s' * (len(self.jobs) > 1)} {', '.join(self.jobs)}".rstrip()


@dataclass(frozen=True)
class Converged:
    """Nothing is left to do: a fresh look matched. An empty version means that the app was removed, as desired.

    `note` tells the operator about a problem that reconcile cannot solve now.
    """

    host: str
    app: str
    version: str
    slot: str
    note: str | None = None
    next_step: str | None = None


@dataclass(frozen=True)
class Blocked:
    """Nothing more can be done now. `reason` says what was seen, `next_step` what the operator can do about it."""

    host: str
    app: str
    reason: str
    next_step: str | None = None
    serving: str | None = None  # the version that still serves, None if none does
    log_tail: tuple[str, ...] = ()
    retryable: bool = False  # the cause can pass by itself
    kind: Kind = field(default="other", kw_only=True)


AnyAction = (
    InstallRelease
    | Migrate
    | StartInstance
    | StartAgain
    | RepairFiles
    | RestoreRights
    | WaitHealthy
    | Cutover
    | BalanceRoute
    | HoldVisitors
    | EndHold
    | EnableInstance
    | ConfirmRoute
    | RetryCertificates
    | WaitCertified
    | RemoveRoute
    | Soak
    | GoBack
    | RemoveApp
    | Drain
    | StopInstance
    | RejectRelease
    | RunHook
    | PruneReleases
    | ScheduleJobs
)
Step = AnyAction | Converged | Blocked


def is_for_edge(action: AnyAction) -> bool:
    """True if the action is about the route of an edge, even where the app runs on the edge itself."""
    if isinstance(action, ConfirmRoute):
        return action.slot == EDGE
    return isinstance(action, BalanceRoute | WaitCertified)
