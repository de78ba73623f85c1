"""The engine: a loop that calls `next_steps` on what it knows of the fleet, begins the actions, and waits for news.

Each process has one engine. `reconcile --once` runs it until nothing is left to do, the daemon until it is stopped. The
engine stores no progress: if it is killed at any moment, the next one continues from what it observes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from reconciler.clock import now_seconds
from reconciler.decide.certificates import first_end
from reconciler.decide.fleet import Answers, failures, next_steps
from reconciler.decide.order import FleetStep
from reconciler.decide.serving import serving_version
from reconciler.engine.closings import Closings
from reconciler.engine.fleet import desired_fleet
from reconciler.engine.jobs import Behind, Job, blocked_by, perform
from reconciler.engine.known import Known
from reconciler.engine.looks import Looks
from reconciler.engine.progress import Progress
from reconciler.engine.rollbacks import Rollbacks
from reconciler.engine.turn import Episode, Turn, Turns
from reconciler.model.action import AnyAction, Blocked, Converged, is_for_edge
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import TRAEFIK, ObservedHost
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller, Target
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.target_files import TargetFiles, removal

CALLED_OFF = "interrupted; the next pass continues from here"
STARTS_WITHIN_SECONDS = 15  # for a Traefik whose unit is active: longer than it needs after a boot
MOST_ACTIONS = 60  # far above any rollout: more means that the decisions go in circles

Report = Callable[[OpenFleet, list[Outcome], float], None]


@dataclass
class Engine:
    """The desired state, what is known of the fleet, and the actions under way."""

    opened: OpenFleet
    who: Controller
    progress: Progress
    report: Report
    wait_lock_seconds: float = 0.0
    allow_prune: bool = False
    known: Known = field(default_factory=Known)
    jobs: dict[Key, Job] = field(default_factory=dict)
    steps: dict[Key, FleetStep] = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)
    resting: dict[Key, Converged | Blocked] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    queue: list[Key] = field(default_factory=list)
    traefik_touched: set[str] = field(default_factory=set)
    held: bool = False  # nothing new is begun
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    looks: Looks = field(init=False)
    closings: Closings = field(init=False)
    rollbacks: Rollbacks = field(init=False)

    def __post_init__(self) -> None:
        self.looks = Looks(self.opened, self.who, self.known, self.changed, self._acting)
        self.closings = Closings(self.changed)
        self.rollbacks = Rollbacks(self._look_at, lambda: {host for _, host in self.jobs})

    async def run(self, *, until_rest: bool = False) -> None:
        """Work forever, or, with `until_rest`, until no turn, action or closing is left."""
        while True:
            self.changed.clear()
            self._decide()
            self._begin()
            self._close_hosts()
            self._close_turns()
            if until_rest and not (self.turns.open or self.jobs or self.closings.running):
                return
            await self.changed.wait()

    # Commands to the engine.

    def want(self, opened: OpenFleet, who: Controller) -> None:
        """Take a newer desired state. Call off the actions that it no longer wants; all others go on undisturbed."""
        before, self.opened, self.who, self.held = self.opened, opened, who, False
        self.answers = Answers()
        self.rollbacks.want(opened)
        for key, job in self.jobs.items():
            if self._is_unwanted(key, job):
                job.call_off()
        moved = [host for host in self.known.hosts if before.sites.get(host) != opened.sites.get(host)]
        self.known.forget_hosts(moved)
        self.closings.touched -= {host for host in self.closings.touched if host in moved or host not in opened.hosts}
        self.looks.want(opened, who)
        self.changed.set()

    def begin_turn(self) -> None:
        """Look at every host afresh, and do what is left to do. Its end is reported."""
        resting = {key: end for key, end in self.resting.items() if not self.rollbacks.of(key)}
        ends = {key: partial(self._outcome, key, end) for key, end in resting.items()}
        self.turns.begin(self.opened.hosts, self.steps.keys() | self.jobs.keys(), ends)
        self.known.failed = {}
        self._look_at(self.opened.hosts)

    def hold(self) -> None:
        """Cancel the actions that only wait or upload, let changes finish, and begin nothing new until `want`."""
        self.held = True
        self.looks.hold()
        self.rollbacks.hold()
        for job in self.jobs.values():
            job.call_off()
        self.changed.set()

    # Decisions.

    def _decide(self) -> None:
        """Set `steps`, and `resting`: the ends of the apps for which nothing is left to do now."""
        self.steps = next_steps(self.desired_now(), self.seen_now(), self.answers)
        if settled := [host for host in self.traefik_touched if not self._acts((TRAEFIK, host))]:
            for host in settled:  # the look is older than the change of Traefik, and so are its routes
                self.traefik_touched.discard(host)
                self.looks.begin(host)
            self.steps = next_steps(self.desired_now(), self.seen_now(), self.answers)
        waits = {key: step for key, step in self.steps.items() if isinstance(step, Wait)}
        for host, seconds in {look for step in waits.values() for look in step.looks}:
            self.looks.begin_later(host, seconds)
        places = [key for key, step in waits.items() if step.for_place]
        self.queue = [*(key for key in self.queue if key in places), *(key for key in places if key not in self.queue)]
        self.turns.claim(self.steps)
        self.resting = {key: end for key in self.steps if key not in self.jobs and (end := self._end(key))}

    def desired_now(self) -> DesiredFleet:
        """What is desired, rollbacks included: the first argument of `next_steps`."""
        return desired_fleet(self.opened, self.rollbacks.files, allow_prune=self.allow_prune)

    def seen_now(self) -> SeenFleet:
        """What is known: the second argument of `next_steps`."""
        revision = self.who.revision
        return SeenFleet(
            hosts={host: seen for host, seen in self.known.hosts.items() if host in self.opened.hosts},
            under_way={key: job.action for key, job in self.jobs.items()},
            begun=frozenset(self.turns.begun | self.rollbacks.files.keys()),
            looking=frozenset(self.looks.running),
            closing=frozenset(self.closings.freeing),
            failed=self.known.failed,
            behind={key: why for key in self.known.behind if (why := self.known.why_behind(key, revision))},
            queue=tuple(self.queue),
            token=self.who.token,
        )

    def _acts(self, key: Key) -> bool:
        """True if an action of this key is under way or about to begin."""
        return key in self.jobs or not isinstance(self.steps.get(key), Converged | Blocked | Wait | None)

    def _end(self, key: Key) -> Converged | Blocked | None:
        """How the app has ended if nothing is left to do now; else None."""
        step = self.steps[key]
        if isinstance(step, Converged):
            return step
        if isinstance(step, Blocked):
            return None if self._passes_soon(key, step) else step
        if self.held:
            return Blocked(key[1], key[0], CALLED_OFF, serving=self._serving(key), kind="waiting")
        if isinstance(step, Wait) and not self._moves:  # nothing is under way, so the wait would never end
            return Blocked(key[1], key[0], step.reason, serving=self._serving(key), kind="waiting")
        return None

    @property
    def _moves(self) -> bool:
        """True if anything is under way that may change what is known."""
        work = self.jobs or self.looks.running or self.looks.timers or self.closings.running
        return bool(work) or any(map(self._acts, self.steps)) or self.rollbacks.are_preparing()

    def _passes_soon(self, key: Key, end: Blocked) -> bool:
        """True if the block may end soon (another controller, Traefik is starting): look again, for a limited time."""
        turn, now = self.turns.of.get(key), now_seconds()
        if self.held or turn is None or end.kind not in ("locked", "starting"):
            return False
        episode = self._episode(key)
        episode.blocked_at_seconds = episode.blocked_at_seconds or now
        if end.kind == "locked":
            episode.waited_seconds = now - episode.blocked_at_seconds
            until = turn.began_seconds + self.wait_lock_seconds
        else:
            until = episode.blocked_at_seconds + STARTS_WITHIN_SECONDS
        if now >= until:
            return False
        self.progress.reporter(key[1], key[0])(f"waiting: {end.reason}")
        self.looks.begin_later(key[1])
        return True

    # Actions.

    def _begin(self) -> None:
        for key, step in self.steps.items():
            if key in self.jobs or self.held or isinstance(step, Converged | Blocked | Wait):
                continue
            if len(self._episode(key).actions) < MOST_ACTIONS:
                self.turns.reopen(key)
                self._start(key, step)
            else:
                again = f"the same actions repeat without end; the last one: {step.verb} {step.subject}"
                next_step = "please report this with the output of --verbose"
                self.known.failed[key] = Blocked(key[1], key[0], again, next_step, self._serving(key), kind="circling")
                self.changed.set()

    def _start(self, key: Key, action: AnyAction) -> None:
        app, host = key
        seen, rollback = self.known.hosts[host], self.rollbacks.of(key)
        assert isinstance(seen, ObservedHost)
        files = self._files_for(action) or removal(self.opened.sites[host], app)
        who = rollback.who if rollback else self.who
        asks_git = not rollback and self.known.must_ask_git(key, who)
        edges = {edge: self.opened.hosts[edge] for edge in files.target.edges if edge in self.opened.hosts}
        job = Job(files, action, seen, self.opened.hosts[host], who, asks_git, edges)
        job.task = asyncio.create_task(perform(job, self.opened, self.progress))
        self.jobs[key] = job
        job.task.add_done_callback(lambda task: self._end_job(key, job))

    def _end_job(self, key: Key, job: Job) -> None:
        """Record the result of an action. If it was cancelled, only a new look can tell what it changed."""
        app, host = key
        del self.jobs[key]
        self.changed.set()
        self.looks.note_action(host, app)
        if job.sent:
            self.closings.touched.add(host)
        if self.opened.sites.get(host) != job.files.site:
            return
        if job.task.cancelled():
            self.looks.begin(host)
        elif isinstance(error := job.task.exception(), Behind):
            self.known.behind[key] = (error.commit, job.who.revision, error.why)
        elif error is not None:
            self.known.failed[key] = blocked_by(error, job, self._serving(key))
        else:
            self._take_reply(key, job, job.task.result())

    def _take_reply(self, key: Key, job: Job, after: ObservedHost) -> None:
        app, host = key
        episode = self._episode(key)
        episode.actions.append(job.action)
        episode.ended_seconds = now_seconds()
        # The slot of a rejected release is cleared, but the end of its log belongs in the report.
        episode.log_tail = next((slot.log_tail for slot in after.app(app).slots if slot.log_tail), episode.log_tail)
        if job.files.target.proxy:
            self.traefik_touched.add(host)
        if not self.known.take_reply(app, job.seen, after) or job.unwanted:
            self.known.forget_evidence(key)
            self.looks.begin(host)

    # Ends.

    def _close_hosts(self) -> None:
        """Write the history of the apps at rest, and release the lease of a host once no work is left on it."""
        on_host: dict[str, list[Key]] = {}
        for key in self.steps:
            on_host.setdefault(key[1], []).append(key)
        for host in self.closings.due:
            keys = on_host.get(host, [])
            tied = [*keys, *self._on_hosts_behind(host)]
            quiet = not any(map(self._acts, tied)) or (self.held and not any(key in self.jobs for key in tied))
            moving = {id(self.turns.of.get(key)) for key in keys if key not in self.resting}
            done = [key for key in keys if key in self.resting and id(self.turns.of.get(key)) not in moving]
            done = [key for key in done if key in self.turns.episodes and self.turns.episodes[key].has_unwritten]
            if not quiet and not done:
                continue
            outcomes = [self._outcome(key, self.resting[key], unwritten=True) for key in done]
            for key in done:
                self.turns.episodes[key].written = len(self.turns.episodes[key].actions)
            self.closings.begin(host, self.opened, self.who, outcomes, keep_lease=not quiet)

    def _on_hosts_behind(self, edge: str) -> list[Key]:
        """The apps to which this edge sends visitors, on their hosts: while one acts, the edge keeps our lease, too."""
        apps = {app for app, name in self.opened.edges if name == edge}
        return [key for key in self.steps if key[0] in apps]

    def _close_turns(self) -> None:
        for turn in [*self.turns.open]:
            turn.looking &= self.looks.running.keys()
            keys = [key for key in self.steps if self.turns.of.get(key) is turn]
            if (turn.looking and not self.held) or any(key not in self.resting for key in keys):
                continue
            if self._roll_back(turn, keys):
                continue
            outcomes = turn.all_outcomes({key: self._outcome(key, self.resting[key]) for key in keys})
            self.turns.close(turn, keys)
            self.rollbacks.end(turn.failures)
            self.report(self.opened, outcomes, now_seconds() - turn.began_seconds)

    def _roll_back(self, turn: Turn, keys: list[Key]) -> bool:
        """Begin the rollbacks that the policy asks for after these ends. True while one is being prepared."""
        if self.held:
            return False
        for failure in failures(self.opened.desired.apps, [self.resting[key] for key in keys]):
            if failure.app.app not in turn.failures:
                turn.failures[failure.app.app] = failure
                self.rollbacks.begin(failure, self.opened, self.who)
        return self.rollbacks.are_preparing(turn.failures)

    def _look_at(self, hosts: Iterable[str]) -> None:
        for host in hosts:
            self.looks.begin(host)
        self.changed.set()

    def _outcome(self, key: Key, end: Converged | Blocked, *, unwritten: bool = False) -> Outcome:
        episode = self.turns.episodes.get(key) or Episode(self._serving(key))
        seen = self.known.hosts.get(key[1])
        outcome = episode.outcome(end, unwritten=unwritten)
        if isinstance(seen, ObservedHost):
            outcome = replace(outcome, jobs=seen.app(key[0]).jobs, certificate_ends=self._certificate_ends(key, seen))
        rollback = self.rollbacks.of(key)
        return rollback.outcome(key, outcome) if rollback else outcome

    def _certificate_ends(self, key: Key, seen: ObservedHost) -> int | None:
        files = self.opened.edges.get(key) or self._files_of(key)
        return first_end(files.target, seen) if files else None

    # Queries.

    def _files_of(self, key: Key) -> TargetFiles | None:
        """The desired files of this key; None for a removal, and for a target that cannot be worked out."""
        rollback = self.rollbacks.of(key)
        return (rollback and rollback.files.get(key)) or self.opened.every_target.get(key)

    def _files_for(self, action: AnyAction) -> TargetFiles | None:
        """The desired files that this action is about. A host may be an edge of an app that it runs itself."""
        key = action.app, action.host
        return (self.opened.edges.get(key) if is_for_edge(action) else None) or self._files_of(key)

    def _is_unwanted(self, key: Key, job: Job) -> bool:
        now = self._files_for(job.action)
        if now is None:  # a removal goes on unless the app is desired again
            return job.files.app is not None or self.opened.names(key)
        return not job.files.wants_the_same(now)

    def _acting(self, host: str) -> set[str]:
        return {app for app, on in self.jobs if on == host}

    def _episode(self, key: Key) -> Episode:
        return self.turns.episodes.setdefault(key, Episode(self._serving(key)))

    def _serving(self, key: Key) -> str | None:
        """The version that serves; None if none does, or if that is unknown."""
        files, seen = self._files_of(key), self.known.hosts.get(key[1])
        return serving_version(files.target if files else Target.removal(key[1], key[0]), seen) if seen else None
