"""The invariants of the design, 1 to 16, asked after every effect. None is ever switched off."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from reconciler.model.process_name import family_of, is_process
from tests.simulator import job_oracle
from tests.simulator.controller import Ended
from tests.simulator.process import Run
from tests.simulator.world.files import LEFT, Entry, Left
from tests.simulator.world.systemd import MULTI_USER, Process
from tests.simulator.world.traefik import FOLDER

if TYPE_CHECKING:
    from tests.simulator.simulation import Simulation
    from tests.simulator.transport import Sent
    from tests.simulator.world.host import Host

VISITS_PER_SECOND = 100
ROUTE_HEAD = re.compile(r"# reconcile route slot=(\S+) ")
PASSING = re.compile(
    r"/\.stdin\.|\.lock$|/lock$|/\.history/|/\.lines(/|$)"
)  # of no account, or of no single controller
MOST_REFUSALS = 12  # of one host key in a pass: the look, what is under way, and their questions beside
PROVEN_SECONDS = 0.9  # all have minimum_healthy_seconds: 1
SERVED_AGAIN_SECONDS = 3.0  # after a boot: an instance needs a moment


State = tuple[tuple[str, ...], bool]
"""The versions of an app that run on a host, and whether its visitors are sent to the first of them."""


class Broken(AssertionError):
    """An invariant does not hold. `oracle` names it."""

    def __init__(self, oracle: str, what: str) -> None:
        super().__init__(f"{oracle}: {what}")
        self.oracle, self.what = oracle, what


@dataclass
class Wish:
    """What the oracles know of an app: which releases there may be, and how it is to be reached."""

    app: str
    slots: tuple[str, ...]
    routed: bool = True
    one_slot: bool = False
    removed: bool = False
    migrated: set[str] = field(default_factory=set)  # versions that may serve only once their migration has ended
    hosts: set[str] | None = None  # None: all
    processes: tuple[str, ...] = ()  # names of its processes, each of which runs on every host of the app
    jobs: dict[str, str] = field(default_factory=dict)  # job → the one host on which it runs at its times

    def leaves(self, host: str) -> bool:
        """The app is not wanted on this host (any more)."""
        return self.removed or (self.hosts is not None and host not in self.hosts)


@dataclass
class Oracles:
    """All of them, with what they remember."""

    simulation: Simulation
    wishes: dict[str, Wish] = field(default_factory=dict)
    manifests: dict[str, dict[str, bytes]] = field(default_factory=dict)  # version → path → content
    broken: list[Broken] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)
    routes_written: int = 0
    uploads: int = 0
    removals: int = 0
    requests: float = 0.0
    lost: float = 0.0
    served: dict[tuple[str, str], bool] = field(default_factory=dict)  # (host, app) → it answers its visitors
    since: dict[tuple[str, str], float] = field(default_factory=dict)
    ready: set[tuple[str, str]] = field(default_factory=set)
    strangers: dict[str, dict[str, bytes]] = field(default_factory=dict)
    quiet: bool = False
    complete: dict[tuple[str, str], Any] = field(default_factory=dict)
    hostile_words: set[str] = field(default_factory=set)
    seen: dict[tuple[str, str], dict[str, State]] = field(default_factory=dict)  # (controller, host) → at its last look
    keys_refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    zombies: set[int] = field(default_factory=set)  # scripts (by id) that others overtook before they began
    unsettled: set[tuple[str, str]] = field(default_factory=set)  # (host, app) that was wanted otherwise until now

    def fail(self, oracle: str, what: str) -> None:
        when = f"{self.simulation.clock.seconds:.3f}"
        if not any(each.oracle == oracle and each.what.split(" ", 1)[1] == what for each in self.broken):
            self.broken.append(Broken(oracle, f"{when} {what}"))

    def check(self) -> None:
        """Raises the first that is broken."""
        if self.broken:
            raise self.broken[0]

    # What is sent, said and reported.

    def sends(self, sent: Sent, text: str) -> None:
        self.checks["12"] += 1
        if any(self.simulation.secret in word for word in (*sent.arguments, text)):
            self.fail("12", f"a secret is an argument of {sent.verb}")
        self.checks["9"] += self.quiet
        if self.quiet and sent.verb not in ("look",):
            self.fail("9", f"{sent.verb} is sent to {sent.host}, where nothing is to do")
        self.checks["10"] += 1
        if sent.number and sent.verb != "finish" and self.simulation.has_failed_closed(sent.controller):
            self.fail("10", f"{sent.controller} sends {sent.verb}, and its desired state cannot be used")

    def said(self, where: str, text: str) -> None:
        self.checks["12"] += 1
        if self.simulation.secret in text:
            self.fail("12", f"a secret is in {where}")

    def reported(self, outcomes: list[Ended], controller: str = "") -> None:
        """Ready is true: at the last look of who says so the release ran, and visitors reached it."""
        for end in outcomes:
            self.checks["11"] += 1
            host, wish = self.simulation.hosts.get(end.host), self.wishes.get(end.app)
            self.said("an outcome", end.reason)
            if not end.converged or host is None or wish is None:
                continue
            self.unsettled.discard((end.host, end.app))
            then = self.seen.get((controller, end.host), {}).get(end.app, ((), False))
            now = self._state(host, end.app)
            if all(self._contradicts(end, wish, state) for state in (then, now)):
                self.fail("11", f"{end.app} on {end.host} is said to be at {end.version or 'none'}: {then}, then {now}")

    def _state(self, host: Host, app: str) -> State:
        running = [p for p in host.systemd.processes if p.app == app]
        port = host.traefik.port_of(app)
        routed = port is not None and (not running or port == running[0].port)
        return tuple(p.release.rpartition("-")[0] for p in running), routed

    def serves(self, host: Host, app: str) -> bool:
        """A visitor of the app would get a good answer now."""
        port = host.traefik.port_of(app)
        process = next((p for p in host.systemd.processes if p.port == port), None)
        return process is not None and 200 <= process.answers < 300

    def state_of_app(self, host: str, app: str) -> State:
        return self._state(self.simulation.hosts[host], app)

    def _contradicts(self, end: Ended, wish: Wish, state: State) -> bool:
        versions, routed = state
        if not end.version:
            return bool(versions) or routed
        return versions != (end.version,) or (wish.routed and not routed)

    def changes_mind(self, app: str) -> None:
        """People want something else of this app: until it is so, it may be gone or not reached."""
        for host in self.simulation.hosts:
            self.unsettled.add((host, app))
            self.ready.discard((host, app))
            self.served.pop((host, app), None)

    # Scripts.

    def begins(self, sent: Sent, host: Host) -> None:
        if sent.verb == "install":
            self.uploads += 1
        if sent.verb == "prune":
            self.removals += 1
        if not sent.number or len(sent.arguments) < 9:
            return
        lease = host.files.text("var/lib/reconcile/lease").split()
        token, seen = sent.arguments[5], sent.arguments[6]
        if len(lease) == 5 and lease[1] not in (token, "-") and lease[0] != seen and seen.isdigit():
            self.zombies.add(id(sent))

    def has_lock(self, sent: Sent, host: Host) -> None:
        """7: it waited for the lock of its app. Meanwhile others may have taken the host over."""
        lease = host.files.text("var/lib/reconcile/lease").split()
        if len(lease) == 5 and lease[1] not in (sent.arguments[5], "-"):
            self.zombies.add(id(sent))

    def refuses_key(self, controller: str, host: str) -> None:
        """16: a host that has another key is not asked again and again."""
        self.checks["16"] += 1
        self.keys_refused[controller, host] += 1
        if self.keys_refused[controller, host] > MOST_REFUSALS:
            self.fail("16", f"{controller} goes on asking {host}, which has another host key")

    def answers(self, controller: str, host: Host) -> None:
        """The controller learns how it is now: a script ended, or Traefik answered."""
        self.seen[controller, host.name] = {app: self._state(host, app) for app in self.wishes}

    def ends(self, sent: Sent, host: Host, run: Run) -> None:
        self.answers(sent.controller, host)
        for stream, data in (("stdout", run.output), ("stderr", run.errors)):
            self.checks["12"] += 1
            if self.simulation.secret.encode() in data:
                self.fail("12", f"a secret is in the {stream} of {sent.verb}")

    def state_of(self, host: Host) -> Any:
        """Its files as they are, but for locks, what scripts receive, and the history, which tells of attempts, too."""
        found = {path: e for path, e in host.files.now.items() if e.kind != "d" and not PASSING.search(path)}
        return {p: (e.kind, e.target, host.files.bytes_of(p) if e.kind == "f" else b"") for p, e in found.items()}

    # After every effect.

    def effect(self, host: Host, what: str, changed: set[str]) -> None:
        self._visitors(host, what)
        for process in sorted(host.systemd.processes, key=lambda each: is_process(each.app)):
            self._proven(host, process)
        self._told_to_end(host)
        self._zombies(host, what, changed)
        if changed:
            self._directory_parses(host, changed)
            self._releases(host, changed)
            self._unowned(host, changed)
            self._secrets(host, changed)
            self._reboot(host, what)
        self._shape(host)
        job_oracle.runs_are_well(self, host)

    def _zombies(self, host: Host, what: str, changed: set[str]) -> None:
        """7: what was decided before another had the host changes nothing."""
        sent = host.acting.notes.get("sent") if host.acting else None
        if sent is None:
            return
        self.checks["7"] += 1
        files = [path for path in changed if not PASSING.search(path) and self._is_file(host, path)]
        if id(sent) in self.zombies and (files or (": " not in what and not what.endswith(" ended"))):
            why = f"changed {files[:2] or what}, and another has had the host since it looked"
            self.fail("7", f"{sent.verb} of {sent.controller} {why}")

    def _is_file(self, host: Host, path: str) -> bool:
        entry = host.files.now.get(path)
        return entry is None or entry.kind != "d"

    def _visitors(self, host: Host, what: str) -> None:
        """1: whoever is routed answers. Counted as requests that a visitor would have sent meanwhile."""
        now = self.simulation.clock.seconds
        for app, wish in self.wishes.items():
            key = (host.name, app)
            if not wish.routed or key in self.unsettled or wish.leaves(host.name):
                continue
            serves = self.serves(host, app)
            before, since = self.served.get(key), self.since.get(key, now)
            if before is not None and key in self.ready:
                self.requests += (now - since) * VISITS_PER_SECOND
                self.lost += 0 if before else (now - since) * VISITS_PER_SECOND
            self.since[key], self.served[key] = now, serves
            self.checks["1"] += 1
            if serves:
                self.ready.add(key)
            elif key in self.ready and before:
                self._stopped_serving(host, wish, what)
            booted = host.was.get("booted")
            if key in self.ready and not serves and booted is not None:
                self.checks["13"] += 1
                if now > booted + SERVED_AGAIN_SECONDS and not self._is_excused(host, wish):
                    self.fail("13", f"{app} does not serve {SERVED_AGAIN_SECONDS:g} s after a boot")
            if serves:
                host.was.pop("booted", None)

    def _is_excused(self, host: Host, wish: Wish) -> bool:
        """What serves badly does so by itself, or an operator made it so; until we have put it right."""
        return bool(host.was.get(("by itself", wish.app)) or host.was.get(("operator", wish.app)))

    def _stopped_serving(self, host: Host, wish: Wish, what: str) -> None:
        process, why = host.was.get("ended", (None, ""))
        if host.was.get("power cut") or not host.up or wish.one_slot:
            return
        if host.was.get(("operator", wish.app)):
            return
        if process is not None and process.app == wish.app and why == "died by itself":
            host.was["by itself", wish.app] = True
            return
        self.fail("1", f"visitors of {wish.app} are lost: {what}")

    def _proven(self, host: Host, process: Process) -> None:
        """3: where visitors are sent is right and healthy."""
        wish = self.wishes.get(process.app)
        if is_process(process.app):
            self._led(host, process)
        if wish is None:
            return
        if process.healthy_since is not None and host.now >= process.healthy_since + PROVEN_SECONDS:
            host.was["proven", process.app, process.release] = True
        if host.traefik.port_of(process.app) != process.port:
            return
        self.checks["3"] += 1
        if wish.one_slot:  # nothing else is there to send them to while a new release is tried
            return
        version = process.release.rpartition("-")[0]
        done = [each for any_host in self.simulation.hosts.values() for each in any_host.was.get("migrations", ())]
        if version in wish.migrated and (process.release, True) not in done:
            self.fail("3", f"visitors of {process.app} are sent to {version}, which was not migrated")
        if version not in self.simulation.good_versions and not host.was.get(("routed", process.pid)):
            self.fail("3", f"visitors of {process.app} are sent to {version}, which is not good")
        if process.listening and not 200 <= process.answers < 300 and not host.was.get(("routed", process.pid)):
            self.fail("3", f"visitors of {process.app} are sent to {process.unit}, which answers {process.answers}")
        if process.listening:
            host.was["routed", process.pid] = True

    def _led(self, host: Host, process: Process) -> None:
        """3: a process of an app runs what the app itself has proven here."""
        family = family_of(process.app)
        if family not in self.wishes or host.was.get(("led", process.pid)):
            return
        self.checks["3"] += 1
        if not host.was.get(("proven", family, process.release)):
            self.fail("3", f"{process.unit} runs {process.release}, which {family} has not proven on {host.name}")
        host.was["led", process.pid] = True

    def _told_to_end(self, host: Host) -> None:
        """2: whoever is told to end has no visitors, neither new ones nor open requests."""
        process: Process | None = host.was.get("told to end")
        if process is None:
            return
        self.checks["2"] += 1
        wish = self.wishes.get(process.app)
        if wish is None or wish.one_slot or not wish.routed or host.was.get(("operator", process.app)):
            return
        if host.traefik.port_of(process.app) == process.port:
            self.fail("2", f"{process.unit} is stopped while visitors are sent to it")
        elif process.connections:
            self.fail("2", f"{process.unit} is stopped while requests are open")

    def _directory_parses(self, host: Host, changed: set[str]) -> None:
        """8, for every file of the folder."""
        if not any(path.startswith(FOLDER + "/") for path in changed):
            return
        for name in host.files.names(FOLDER):
            if not name.endswith((".yml", ".yaml", ".toml")):
                continue
            self.checks["8"] += 1
            text = host.files.text(f"{FOLDER}/{name}")
            try:
                whole = bool(yaml.safe_load(text))
            except yaml.YAMLError:
                whole = False
            if not whole:
                self.fail("8", f"{name} in Traefik's folder is not whole")
            found = ROUTE_HEAD.match(text)
            if found and f"{FOLDER}/{name}" in changed:
                self.routes_written += 1
                self._route_written(host, name.removesuffix(".yml"), found[1])

    def _route_written(self, host: Host, app: str, slot: str) -> None:
        """3 and 13: a route names only what is proven, and enabled for the next boot."""
        wish = self.wishes.get(app)
        if wish is None or host.was.get("power cut") or host.was.get(("operator", app)):
            return
        unit = host.systemd.units.get(f"{app}@{slot}.service")
        process = unit.process if unit else None
        self.checks["3"] += 1
        if process is None or not 200 <= process.answers < 300:
            self.fail("3", f"the route of {app} names slot {slot}, where nothing healthy runs")
        if not host.systemd.is_enabled(f"{app}@{slot}.service"):
            self.fail("13", f"the route of {app} names slot {slot}, which is not enabled")
        if process is not None:
            self._is_led_to(host, wish, process.release)

    def _is_led_to(self, host: Host, wish: Wish, release: str) -> None:
        """3: visitors come to a version only when its processes run, too."""
        before = host.was.get(("route", wish.app))
        host.was["route", wish.app] = release
        if before in (None, release):
            return
        for name in wish.processes:
            for other in (p for p in host.systemd.processes if p.app == f"{wish.app}--{name}"):
                if other.release != release or host.now < other.began + PROVEN_SECONDS:
                    self.fail("3", f"the route of {wish.app} leads to {release}, and its {name} is not proven")

    def _releases(self, host: Host, changed: set[str]) -> None:
        """4 and 5: a release is there whole or not at all, and what runs keeps it."""
        touched = {m[0] for path in changed if (m := re.match(r"srv/[^/]+/releases/[^/.][^/]*", path))}
        for folder in sorted(touched):
            if folder not in host.files.now:
                continue
            self.checks["4"] += 1
            expected = self.manifests.get(folder.rpartition("/")[2].rpartition("-")[0])
            if expected is None:
                continue
            start = folder + "/"
            there = {
                path[len(start) :]: host.files.bytes_of(path)
                for path, entry in host.files.now.items()
                if path.startswith(start) and entry.kind == "f"
            }
            if there != expected:
                self.fail("4", f"{folder} is there and not whole")
        for process in host.systemd.processes:
            self.checks["5"] += 1
            if process.release and f"srv/{process.app}/releases/{process.release}" not in host.files.now:
                self.fail("5", f"the release of {process.unit} was removed while it runs")
        for path, entry in host.files.now.items():
            if entry.kind == "l" and "/slots/" in path and not path.rpartition("/")[2].startswith("."):
                app, slot = path.split("/")[1], path.rpartition("/")[2]
                target = f"srv/{app}/releases/{entry.target.rpartition('/')[2]}"
                self.checks["5"] += 1
                if target not in host.files.now and not self.wishes[app].leaves(host.name):
                    self.fail("5", f"slot {slot} of {app} links to a release that is not there")

    def _unowned(self, host: Host, changed: set[str]) -> None:
        """5: nothing that is not ours is touched."""
        for path, content in self.strangers.get(host.name, {}).items():
            self.checks["5"] += 1
            same = path in host.files.now and host.files.bytes_of(path) == content
            if not same and not host.was.get("power cut"):
                self.fail("5", f"{path}, which is not ours, was changed")

    def _secrets(self, host: Host, changed: set[str]) -> None:
        """12: no file that others can read holds one."""
        secret = self.simulation.secret.encode()
        for path in changed:
            entry = host.files.now.get(path)
            if entry is None or entry.kind != "f" or secret not in host.files.bytes_of(path):
                continue
            self.checks["12"] += 1
            if entry.mode & 0o077 and not self._is_closed(host, path):
                self.fail("12", f"others can read a secret in {path}")

    def _is_closed(self, host: Host, path: str) -> bool:
        parts = path.split("/")
        folders = ["/".join(parts[:count]) for count in range(1, len(parts))]
        return any((e := host.files.now.get(f)) is not None and not e.mode & 0o077 for f in folders)

    def _reboot(self, host: Host, what: str) -> None:
        """13: with the power gone at this instant, the host would come back serving what its route names."""
        if not host.up:
            return
        for app, wish in self.wishes.items():
            if (host.name, app) not in self.ready or not wish.routed or wish.leaves(host.name):
                continue
            if host.was.get(("operator", app)):  # until what he did is put right, on the disk too
                served = self.served.get((host.name, app))
                if served and not any(_why_not_served(host, left, app) for left in LEFT):
                    host.was.pop(("operator", app))
                continue
            for left in LEFT:
                self.checks["13"] += 1
                if why := _why_not_served(host, left, app):
                    self.fail("13", f"a power cut ({left}) would leave {app} down: {why} [{what}]")

    def _shape(self, host: Host) -> None:
        """6: never more than two."""
        self.checks["6"] += 1
        running = Counter(process.app for process in host.systemd.processes)
        for app, count in running.items():
            if count > (1 if is_process(app) else 2):
                self.fail("6", f"{count} instances of {app}")

    # At the end.

    def at_rest(self) -> None:
        """6 and 16: hosts hold one instance an app, no script and no lock."""
        for host in self.simulation.hosts.values():
            self.checks["16"] += 1
            for run in host.runs.values():
                if run.verb != "job":
                    self.fail("16", f"{run.verb} still runs on {host.name}")
            job_oracle.timers_are_as_wanted(self, host)
            for app, wish in self.wishes.items():
                self.checks["6"] += 1
                running = [p for p in host.systemd.processes if p.app == app]
                if wish.leaves(host.name):
                    self._nothing_left(host, app)
                elif len(running) != 1:
                    self.fail("6", f"{len(running)} instances of {app} on {host.name} at rest")
                else:
                    self._one_version(host, running[0], wish)

    def _one_version(self, host: Host, main: Process, wish: Wish) -> None:
        """A version is all of its processes."""
        for name in wish.processes:
            releases = [p.release for p in host.systemd.processes if p.app == f"{wish.app}--{name}"]
            if releases != [main.release]:
                self.fail("6", f"{wish.app} is {main.release} on {host.name}, and its {name} {releases or 'nothing'}")

    def leftovers(self) -> list[str]:
        """What scripts left half-written: the next change of the app must take it away."""
        return [
            f"{path} on {name}"
            for name, each in self.simulation.hosts.items()
            for path in each.files.now
            if is_leftover(each.files.now, path)
        ]

    def swept(self) -> None:
        """6: every app was changed once more, so nothing half-written is left."""
        for each in self.leftovers():
            self.fail("6", f"{each} is left after the next change")

    def _nothing_left(self, host: Host, app: str) -> None:
        for path in host.files.now:
            if path.startswith(
                (f"srv/{app}/", f"etc/reconcile/{app}/", f"var/lib/reconcile/{app}/", f"{FOLDER}/{app}.")
            ):
                self.fail("6", f"{path} of {app} is left on {host.name}")

    def asked(self, canary: str) -> None:
        """15: no script of root's has a variable of an app."""
        self.checks["15"] += 1
        if canary:
            self.fail("15", "a script of root's runs with a variable of an app")


LEFTOVER = re.compile(
    r"(/\.incoming-|/\.old-|/\.stage(/|$)|\.new$|/\.stdin\.|/\.[^/]+\.started$|run/reconcile/[^/]+/[^/]+\.(env|unit)$)"
)


# Of a whole host: written over by the next of its kind. And what is noted of a run, which a reboot ends.
REUSED = re.compile(
    r"var/lib/reconcile/(lease\.new$|\.lines(/|$)|[^/]+/hook\.done$)|run/reconcile/[^/]+/[^/.][^/]*\.started$"
)


SLOT_FILE = re.compile(r"etc/reconcile/([^/]+)/([^./]+)\.env$|srv/([^/]+)/slots/([^./]+)$")
NOTED = re.compile(r"var/lib/reconcile/([^/]+)/(?:trees|migrated)/([^@]+)(?:@.*)?$")


def is_leftover(files: Mapping[str, Entry], path: str) -> bool:
    """True for a file that is there only while a script works, but for those of one name for all time; for what is
    noted of a release that is gone; and for half of the files of a slot."""
    if noted := NOTED.match(path):
        return f"srv/{noted[1]}/releases/{noted[2]}" not in files
    if half := SLOT_FILE.match(path):
        app, slot = half[1] or half[3], half[2] or half[4]
        return not {f"etc/reconcile/{app}/{slot}.env", f"srv/{app}/slots/{slot}"} <= files.keys()
    return not REUSED.match(path) and bool(LEFTOVER.search(path))


def _why_not_served(host: Host, left: Left, app: str) -> str:
    """Why a boot after a power cut would not serve the app by the slot that its route names; "" when it would."""

    def there(path: str) -> Entry | None:
        return host.files.survivor(path, left)

    route = there(f"{FOLDER}/{app}.yml")
    if route is None:
        return "its route is not there"
    slot = _slot_of(host, route)
    if not slot:
        return "its route is empty"
    if not there(f"{MULTI_USER}/{app}@{slot}.service"):
        return f"slot {slot}, which its route names, is not enabled"
    unit, env = there(f"etc/systemd/system/{app}@.service"), there(f"etc/reconcile/{app}/{slot}.env")
    if unit is None or not unit.size or env is None or not env.size:
        return f"the files of slot {slot} are not there"
    link = there(f"srv/{app}/slots/{slot}")
    if link is None:
        return f"slot {slot} links to no release"
    release = f"srv/{app}/releases/{link.target.rpartition('/')[2]}"
    if not there(release):
        return f"the release of slot {slot} is not there"
    said = there(f"{release}/sim.json")
    if said is None or not said.size:
        return f"the release of slot {slot} is not whole"
    return ""


def _slot_of(host: Host, route: Entry) -> str:
    if not route.size:
        return ""
    content = host.files.read.get(route.key) or host.files.content.get(route.key) or b""
    found = ROUTE_HEAD.match(content.decode(errors="replace"))
    return found[1] if found else ""
