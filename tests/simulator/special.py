"""Stories that no single fault tells: a controller that slept, a late command, bytes changed on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from unittest import mock

from reconciler.apply.wait import LOOK_EVERY_SECONDS
from reconciler.tools.scripts import change_script
from tests.simulator.happenings import Happening, happen
from tests.simulator.oracles import Broken
from tests.simulator.process import Run
from tests.simulator.scenario import build, remove_app, write_app
from tests.simulator.simulation import BEFORE, Fault, Simulation
from tests.simulator.stories import set_up
from tests.simulator.transport import Sent

SLEEPS_SECONDS = 50.0
LEASE_SECONDS = 30.5
DELAY_SECONDS = 1.5  # what the scripts of a neighbour may take from each other


def _run(story: Callable[[Simulation], Coroutine[Any, Any, None]], seed: int = 1) -> Simulation:
    with Simulation(seed) as simulation:
        simulation.run(story(simulation))
        simulation.oracles.check()
        return simulation


async def _serve(simulation: Simulation, version: str, **keys: Any) -> None:
    write_app(simulation, "hello", version, **keys)
    outcomes = await simulation.once()
    if not all(end.converged for end in outcomes):
        simulation.oracles.fail("liveness", f"version {version} is not reached: {outcomes}")


async def _wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(400):
        if holds():
            return
        await asyncio.sleep(0.5)
    raise Broken("liveness", "what was awaited for 200 s does not come")


async def _send_again(simulation: Simulation, sent: Sent, arguments: tuple[str, ...], stdin: bytes) -> None:
    """A script from the outside, as from a connection that was silent for long."""
    host = simulation.hosts[sent.host]
    done = asyncio.get_running_loop().create_future()

    def ended(run: Run) -> None:
        done.set_result(run.status)

    again = Sent(sent.host, sent.controller, sent.verb, arguments, 0, done)
    simulation.oracles.begins(again, host)
    text = change_script(sent.verb, "system").text
    run = host.begin(sent.verb, text, arguments, stdin, ended, notes={"sent": again})
    again.run = run
    await done
    simulation.oracles.ends(again, host, run)


def a_zombie_wakes() -> None:
    """A controller sleeps before each of its changes, while another converges a newer commit."""
    for change in (2, 3):  # its start, its cutover

        async def told(simulation: Simulation, change: int = change) -> None:
            set_up(simulation)
            await _serve(simulation, "1")
            simulation.changes = 0
            simulation.faults = [Fault("sleep", change, BEFORE, SLEEPS_SECONDS)]
            write_app(simulation, "hello", "2")
            first = asyncio.ensure_future(simulation.once())
            while not simulation.struck:
                await asyncio.sleep(0.1)
            await asyncio.sleep(31)
            await _serve(simulation, "3")
            before = simulation.oracles.state_of(simulation.hosts["web1"])
            await first
            if before != simulation.oracles.state_of(simulation.hosts["web1"]):
                simulation.oracles.fail("7", f"a controller that slept before change {change} changed the host")
            await _serve(simulation, "3")

        _run(told)


def late_commands() -> None:
    """Each command of a rollout comes a second time, when others have gone on."""

    async def told(simulation: Simulation) -> None:
        set_up(simulation)
        await _serve(simulation, "1")
        first = len(simulation.sent)
        await _serve(simulation, "2")
        late = [(each, simulation.stdin_of[id(each)]) for each in simulation.sent[first:] if each.number]
        await _serve(simulation, "3")
        host = simulation.hosts["web1"]
        before = simulation.oracles.state_of(host)
        for sent, stdin in late:
            if sent.verb != "finish":
                await _send_again(simulation, sent, sent.arguments, stdin)
        if before != simulation.oracles.state_of(host):
            simulation.oracles.fail("7", "a late command changed a host that others had changed since")
        await _serve(simulation, "3")

    _run(told)


def an_orphaned_drain_ends() -> None:
    """16: a controller dies in a drain of ten minutes. Its script ends, and nobody need wait for its lease."""

    async def told(simulation: Simulation) -> None:
        set_up(simulation)
        await _serve(simulation, "1")
        write_app(simulation, "hello", "2", drain_seconds=600)
        name = simulation.new_controller()
        dying = asyncio.ensure_future(simulation.once(name))
        while simulation.sent[-1].verb != "drain":
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        simulation.kill_controller(name)
        await dying
        host = simulation.hosts["web1"]
        await asyncio.sleep(LEASE_SECONDS + LOOK_EVERY_SECONDS)
        for run in host.runs.values():
            simulation.oracles.fail("16", f"{run.verb} of a dead controller still runs on web1")
        lease = host.files.text("var/lib/reconcile/lease").split()
        if int(lease[2]) > host.now - host.boot_seconds:
            simulation.oracles.fail("16", f"a dead controller still has the lease: {lease}")

    with mock.patch("tests.simulator.world.host.LINGER_SECONDS", 900.0):
        _run(told)


def a_slow_stop_is_nobodys_lease() -> None:
    """16: an instance takes long to stop. Its controller has the host all the while, and not after it died."""

    async def told(simulation: Simulation) -> None:
        set_up(simulation)
        build(simulation, "slow", stops=65)
        host = simulation.hosts["web1"]

        def holder() -> str:
            _, token, until, *_ = host.files.text("var/lib/reconcile/lease").split()
            return token if int(until) > host.now - host.boot_seconds else ""

        async def replace_slow(name: str) -> asyncio.Task[Any]:
            await _serve(simulation, "slow", stop_seconds=90)
            write_app(simulation, "hello", "2", stop_seconds=90)
            working = asyncio.ensure_future(simulation.once(name))
            await _wait_until(lambda: simulation.sent[-1].verb == "stop")
            await asyncio.sleep(1.0)
            return working

        name = simulation.new_controller()
        working = await replace_slow(name)
        while not working.done() and simulation.sent[-1].verb == "stop":
            if holder() != name:
                simulation.oracles.fail("16", f"{name} waits for a stop, and {holder() or 'nobody'} has the lease")
            await asyncio.sleep(1.0)
        if not all(end.converged for end in await working):
            simulation.oracles.fail("liveness", "a long stop is not waited for")
        name = simulation.new_controller()
        dying = await replace_slow(name)
        simulation.kill_controller(name)
        await dying
        await asyncio.sleep(LEASE_SECONDS)
        for run in host.runs.values():
            simulation.oracles.fail("16", f"{run.verb} of a dead controller still runs on web1")
        if holder():
            simulation.oracles.fail("16", f"{holder()}, which is dead, still has the lease")
        await _serve(simulation, "2", stop_seconds=90)

    _run(told)


def a_run_keeps_its_release() -> None:
    """A run of a job outlasts the version that it began with, and what prune would remove; a removal ends it."""

    async def told(simulation: Simulation) -> None:
        set_up(simulation)
        build(simulation, "1", job=50)
        keys: dict[str, Any] = {"keep_releases": 2, "jobs": {"report": {"run": "bin/run report", "at": "minutely"}}}
        await _serve(simulation, "1", **keys)
        host = simulation.hosts["web1"]
        await _wait_until(lambda: bool(host.systemd.jobs.runs))
        for version in ("2", "3"):
            await _serve(simulation, version, **keys)
        runs = [run.release for run in host.systemd.jobs.runs.values()]
        if [release.rpartition("-")[0] for release in runs] != ["1"]:
            simulation.oracles.fail("jobs", f"a rollout ended the run of version 1: {runs} run")
        await _wait_until(lambda: not host.systemd.jobs.under_way)
        if host.files.text("var/lib/reconcile/hello/jobs/report.last").split()[2:3] != ["success"]:
            simulation.oracles.fail("jobs", "how the run ended was not noted")
        await _serve(simulation, "2", **keys)
        if any("/releases/1-" in path for path in host.files.now):
            simulation.oracles.fail("jobs", "what ended is kept for ever")
        await _wait_until(lambda: bool(host.systemd.jobs.runs))
        remove_app(simulation, "hello")
        write_app(simulation, "other-app", "1", number=1)
        simulation.allows_prune = True
        await simulation.once()
        simulation.oracles.at_rest()
        if host.systemd.jobs.under_way:
            simulation.oracles.fail("jobs", "a run outlasts the removal of its app")

    _run(told)


def a_takeover_outlasts_the_power() -> None:
    """7: a controller sleeps, another takes the host over, and the power goes: the first one is still refused."""

    async def told(simulation: Simulation) -> None:
        set_up(simulation)
        await _serve(simulation, "1")
        await asyncio.sleep(60)  # all of that is on the disk
        simulation.changes = 0
        simulation.faults = [Fault("sleep", 1, BEFORE, 100.0), Fault("power lost", 2, 6, 0.7)]
        write_app(simulation, "hello", "2")
        sleeper = asyncio.ensure_future(simulation.once())
        while not simulation.struck:
            await asyncio.sleep(0.1)
        await asyncio.sleep(31)
        write_app(simulation, "hello", "3")
        await simulation.once()
        host = simulation.hosts["web1"]
        await asyncio.sleep(max(host.reachable_from - host.now, 0) + 2)
        first = next(each for each in reversed(simulation.sent) if each.number == 1)
        seen, now = first.arguments[6], host.files.text("var/lib/reconcile/lease").split()
        if len(simulation.struck) != 2 or not now or now[0] == seen:
            simulation.oracles.fail("7", f"after a power cut the host tells nobody that it was taken over: {now}")
        await sleeper
        await _serve(simulation, "3")

    _run(told)


def _of_now(simulation: Simulation, verb: str) -> tuple[Sent, tuple[str, ...]]:
    """The last command of this verb, with the lease as it is now: what its script itself checks must be enough."""
    sent = next(each for each in reversed(simulation.sent) if each.verb == verb)
    lease = simulation.hosts["web1"].files.text("var/lib/reconcile/lease").split()
    return sent, (*sent.arguments[:5], lease[1], lease[0], *sent.arguments[7:])


def a_stale_stop() -> None:
    """The instance that serves is not stopped on anybody's word."""

    async def told(simulation: Simulation) -> None:
        set_up(simulation)
        await _serve(simulation, "1")
        await _serve(simulation, "2")
        sent, arguments = _of_now(simulation, "stop")
        unit = simulation.hosts["web1"].systemd.unit("hello@4001.service")
        await _send_again(simulation, sent, (*arguments[:-2], "4001", unit.invocation), b"")

    _run(told)


def a_stale_prune() -> None:
    """A release that runs is not removed on anybody's word."""

    async def told(simulation: Simulation) -> None:
        set_up(simulation)
        for version in ("1", "2", "3"):
            await _serve(simulation, version)
        sent, arguments = _of_now(simulation, "prune")
        process = simulation.hosts["web1"].systemd.processes[0]
        await _send_again(simulation, sent, (*arguments[:-1], process.release), b"")

    _run(told)


def an_upload_tampered_with() -> None:
    """Other bytes than those that were judged do not appear as a release."""

    async def told(simulation: Simulation) -> None:
        set_up(simulation)
        await _serve(simulation, "3")
        three = next(each for each in reversed(simulation.sent) if each.verb == "install")
        other = _archive(three, simulation.stdin_of[id(three)])

        def tamper(sent: Sent, data: bytes) -> bytes:
            if sent.verb != "install":
                return data
            simulation.tamper = None
            return data[: _head(sent)] + other

        simulation.tamper = tamper
        write_app(simulation, "hello", "2")
        outcomes = await simulation.once()
        if all(end.converged for end in outcomes):
            simulation.oracles.fail("4", "an upload of other bytes was taken for the release")
        await _serve(simulation, "2")

    _run(told)


def _head(sent: Sent) -> int:
    """The length of the manifest, which comes before the archive."""
    return int(sent.arguments[-7])


def _archive(sent: Sent, data: bytes) -> bytes:
    return data[_head(sent) :]


def a_dead_host_delays_nobody() -> None:
    """14: an app is as fast with a dead or silent host beside its own, or with an app that fails, as without."""
    undisturbed = _seconds_until_served("")
    for trouble in ("connections refused", "link silent", "bad"):
        seconds = _seconds_until_served(trouble)
        if seconds > undisturbed + DELAY_SECONDS:
            raise Broken("14", f"{trouble} elsewhere: served after {seconds:.2f} s, and {undisturbed:.2f} s without")


def _seconds_until_served(trouble: str) -> float:
    with Simulation(1, ("web1", "web2")) as simulation:
        seconds: float = simulation.run(_time_one(simulation, trouble))
        simulation.oracles.check()
        return seconds


async def _time_one(simulation: Simulation, trouble: str) -> float:
    set_up(simulation)

    def write(version: str, other: str) -> None:
        write_app(simulation, "hello", version, hosts=["web1"])
        write_app(simulation, "other-app", other, number=1, hosts=["web1", "web2"])
        simulation.oracles.wishes["hello"].hosts = {"web1"}

    write("1", "1")
    await simulation.once()
    write("2", trouble if trouble == "bad" else "2")
    if trouble not in ("", "bad"):
        happen(simulation, Happening(0.0, trouble, "web2", "", 1000.0))
        for controller in range(5):
            simulation.cut_until[f"controller{controller}", "web2"] = simulation.clock.seconds + 1000.0
    began = simulation.clock.seconds
    working = asyncio.ensure_future(simulation.once())
    while simulation.oracles.state_of_app("web1", "hello") != (("2",), True):
        if working.done() or simulation.clock.seconds > began + 300:
            raise Broken("14", f"{trouble} elsewhere, and the app never serves")
        await asyncio.sleep(0.05)
    took = simulation.clock.seconds - began
    await working
    return took


SPECIAL: dict[str, Callable[[], None]] = {
    "zombie": a_zombie_wakes,
    "late": late_commands,
    "orphan": an_orphaned_drain_ends,
    "slow stop": a_slow_stop_is_nobodys_lease,
    "run": a_run_keeps_its_release,
    "takeover": a_takeover_outlasts_the_power,
    "stale stop": a_stale_stop,
    "stale prune": a_stale_prune,
    "tampered": an_upload_tampered_with,
    "dead host": a_dead_host_delays_nobody,
}
