"""A job that goes to another host, or whose app gets another name, is never in two places, and never runs twice."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.expected import expected_host
from reconciler.decide.fleet import next_steps
from reconciler.decide.plan import plan_fleet
from reconciler.model.action import Blocked, Converged, InstallRelease, ScheduleJobs
from reconciler.model.desired import App
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.observed_job import ObservedJob
from reconciler.model.target import Target
from reconciler.targets.processes import with_processes
from tests.decide.test_fleet import PLENTY, app, desired_of, serving

NIGHTLY = {"run": "bin/nightly", "at": "03:00 UTC"}
REINDEX = {"run": "bin/reindex"}


def shop(name: str = "shop", hosts: tuple[str, ...] = ("a", "b"), **more: object) -> App:
    return app(name, list(hosts), **{"jobs": {"nightly": NIGHTLY}, **more})


def on(host: str, version: str = "1") -> DesiredFleet:
    return desired_of(shop(version=version, jobs={"nightly": {**NIGHTLY, "host": host}}))


def converged(desired: DesiredFleet) -> SeenFleet:
    """All of it is converged, and so are the jobs."""
    looks = {host: ObservedHost(host, PLENTY) for host in desired.hosts}
    for (name, host), target in desired.targets.items():
        jobs = tuple(ObservedJob(job.name, job.files, scheduled=job.timed) for job in target.jobs)
        looks[host] = looks[host].with_app(name, serving(target, jobs=jobs))
    return SeenFleet(looks)


def with_run(seen: SeenFleet, key: Key, job: str) -> SeenFleet:
    look = seen.host(key[1])
    assert look is not None
    app = look.app(key[0])
    jobs = tuple(replace(each, runs_since=7, runs_release="1-x") if each.name == job else each for each in app.jobs)
    return seen.with_host(look.with_app(key[0], replace(app, jobs=jobs)))


def after(desired: DesiredFleet, seen: SeenFleet, *keys: Key) -> SeenFleet:
    """The fleet after these have taken their next steps."""
    for key in keys:
        step, look = next_steps(desired, seen)[key], seen.host(key[1])
        assert look is not None
        assert not isinstance(step, Converged | Blocked | Wait), step
        seen = seen.with_host(expected_host(look, step, desired.targets[key]))
    return seen


def timers(seen: SeenFleet) -> list[Key]:
    """Where the timer of the job is, under whatever name of the app."""
    looks = [look for look in seen.hosts.values() if isinstance(look, ObservedHost)]
    return [(name, look.host) for look in looks for name, app in look.apps.items() if app.job("nightly").scheduled]


def ends(desired: DesiredFleet, seen: SeenFleet) -> set[type[Converged | Blocked]]:
    return {type(each.end) for each in plan_fleet(desired, seen).values()}


def test_a_job_leaves_its_former_host_before_it_is_scheduled_on_another() -> None:
    desired, seen = on("a"), converged(on("b"))

    steps = next_steps(desired, seen)

    assert steps["shop", "a"] == Wait("a", "shop", "waits until job nightly has left b: it must not run twice")
    assert isinstance(steps["shop", "b"], ScheduleJobs)
    seen = after(desired, seen, ("shop", "b"))
    assert timers(seen) == []
    assert timers(after(desired, seen, ("shop", "a"))) == [("shop", "a")]


def test_a_run_that_is_under_way_on_the_former_host_ends_first() -> None:
    desired, seen = on("b"), with_run(converged(on("a")), ("shop", "a"), "nightly")

    seen = after(desired, seen, ("shop", "a"))

    why = "job nightly is not scheduled here yet, since a run of job nightly is under way on a: it must not run twice"
    assert next_steps(desired, seen)["shop", "b"] == Blocked(
        "b", "shop", why, "it is once that has ended", "1", retryable=True, kind="waiting"
    )
    assert timers(seen) == []


def test_a_process_that_becomes_a_job_of_the_same_name_is_removed_first() -> None:
    """Their units have the same names."""
    process = app("shop", ["a"], processes={"nightly": {"start": "x"}})
    desired, seen = desired_of(shop(hosts=("a",))), converged(desired_of(*with_processes(process)))

    steps = next_steps(desired, seen)

    assert steps["shop", "a"] == Wait("a", "shop", "waits until shop--nightly, a process, is removed from a")
    assert ends(desired, seen) == {Converged}


def test_a_job_that_becomes_a_process_of_the_same_name_is_removed_first() -> None:
    """In one commit, and just before the process starts; what looks like somebody else's unit is the job's."""
    process = {"processes": {"nightly": {"start": "x"}}, "jobs": {"reindex": REINDEX}}
    before = desired_of(app("shop", ["a"], jobs={"nightly": NIGHTLY, "reindex": REINDEX}))
    after_it = app("shop", ["a"], version="2", **process)
    desired, seen = desired_of(*with_processes(after_it)), converged(before)
    look = seen.host("a")
    assert look is not None
    theirs = replace(look.app("shop--nightly"), foreign=("/etc/systemd/system/shop--nightly@.service",))
    seen = seen.with_host(look.with_app("shop--nightly", theirs))

    steps = next_steps(desired, seen)
    assert steps["shop--nightly", "a"] == Wait("a", "shop--nightly", "waits for shop on a")
    for _ in range(9):
        if isinstance(next_steps(desired, seen)["shop", "a"], ScheduleJobs):
            break
        seen = after(desired, seen, ("shop", "a"))
    why = "job nightly becomes a process"
    step = next_steps(desired, seen)["shop", "a"]
    assert step == ScheduleJobs("a", "shop", why, ("nightly",), held_back=("reindex",))

    running = after(desired, with_run(seen, ("shop", "a"), "nightly"), ("shop", "a"))
    assert timers(running) == []
    running = after(desired, running, ("shop", "a"))  # it is asked for its health again
    for name in ("shop", "shop--nightly"):
        wait = next_steps(desired, running)[name, "a"]
        assert isinstance(wait, Blocked) and wait.retryable
        assert wait.reason.startswith("job nightly becomes a process, and a run of it is under way")

    seen = after(desired, seen, ("shop", "a"))
    assert timers(seen) == []
    look = seen.host("a")
    assert look is not None
    seen = seen.with_host(look.with_app("shop--nightly", replace(look.app("shop--nightly"), foreign=())))
    assert isinstance(next_steps(desired, seen)["shop--nightly", "a"], InstallRelease)
    assert ends(desired, seen) == {Converged}


def test_two_jobs_that_change_places_do_not_wait_for_each_other() -> None:
    """Each host lets go of one first, and takes the other then."""
    before = desired_of(shop(jobs={"nightly": {**NIGHTLY, "host": "a"}, "reindex": {**REINDEX, "host": "b"}}))
    desired = desired_of(shop(jobs={"nightly": {**NIGHTLY, "host": "b"}, "reindex": {**REINDEX, "host": "a"}}))

    steps = next_steps(desired, converged(before))

    why = "job nightly is no longer in the desired state"
    assert steps["shop", "a"] == ScheduleJobs("a", "shop", why, ("nightly",), held_back=("reindex",))
    assert ends(desired, converged(before)) == {Converged}


def test_another_job_does_not_wait_with_the_one_that_moves() -> None:
    jobs = {"nightly": {**NIGHTLY, "host": "b"}, "reindex": {**REINDEX, "host": "b"}}
    desired, seen = desired_of(shop(jobs=jobs)), with_run(converged(on("a")), ("shop", "a"), "nightly")

    step = next_steps(desired, seen)["shop", "b"]

    assert step == ScheduleJobs("b", "shop", "job reindex is new here", ("reindex",), held_back=("nightly",))
    look = after(desired, seen, ("shop", "b")).host("b")
    assert look is not None
    assert [job.name for job in look.app("shop").jobs] == ["reindex"]


def test_a_version_is_rolled_out_everywhere_although_a_job_waits_for_its_former_host() -> None:
    """The second host has the job, and comes after the first, which is to get it."""
    desired, seen = on("a", version="2"), converged(on("b"))
    done = converged(on("b", version="2")).hosts["a"]
    seen = seen.with_host(done)

    steps = next_steps(desired, seen)

    assert isinstance(steps["shop", "a"], Wait)
    assert isinstance(steps["shop", "b"], InstallRelease)
    assert ends(desired, converged(on("b"))) == {Converged}


def test_a_job_is_not_scheduled_anew_while_a_host_of_its_app_cannot_be_reached() -> None:
    """It may run there. What is scheduled already goes on."""
    desired, lost = on("b"), Unreachable("a", "no route to host")

    step = next_steps(desired, converged(on("a")).with_host(lost))["shop", "b"]

    assert isinstance(step, Blocked)
    assert step.reason == "job nightly is not scheduled here yet, since a cannot be reached and may still run it"
    assert step.next_step == "make a reachable, or take it out of the hosts of shop"
    assert isinstance(next_steps(desired, converged(desired).with_host(lost))["shop", "b"], Converged)


def test_a_job_waits_for_the_look_at_every_other_host() -> None:
    """A host that was not looked at yet is no host without the job."""
    desired, seen = on("b"), converged(on("a"))
    unseen = replace(seen, hosts={"b": seen.hosts["b"]})
    again = replace(seen.with_host(Unreachable("a", "no route to host")), looking=frozenset("a"))

    for each in (unseen, again):
        step = next_steps(desired, each)["shop", "b"]
        assert step == Wait("b", "shop", "waits until a was looked at, which may run job nightly")


def test_a_renamed_app_never_has_two_timers_of_one_job() -> None:
    """The timer under the former name is gone before the one under the new name is there, and it is the first to go."""
    before = desired_of(shop(hosts=("a",)))
    desired = desired_of(shop("store", hosts=("a",), moved_from="shop"))
    seen, counts = converged(before), []
    for _ in range(20):
        steps = next_steps(desired, seen)
        going = [key for key, step in steps.items() if not isinstance(step, Converged | Blocked | Wait)]
        if not going:
            break
        look = seen.host("a")
        assert look is not None
        target = desired.targets.get(going[0])
        step = steps[going[0]]
        assert not isinstance(step, Converged | Blocked | Wait)
        seen = seen.with_host(expected_host(look, step, target or Target.removal(*reversed(going[0]))))
        counts.append(len(timers(seen)))

    assert max(counts) == 1
    assert timers(seen) == [("store", "a")]
    assert ends(desired, converged(before)) == {Converged}


def test_a_run_under_way_of_an_app_that_is_renamed_goes_on_to_its_end() -> None:
    """The app of that name is removed after it. A removal for good ends it."""
    before = desired_of(shop(hosts=("a",)))
    seen = with_run(converged(before), ("shop", "a"), "nightly")

    renamed = plan_fleet(desired_of(shop("store", hosts=("a",), moved_from="shop")), seen)
    removed = plan_fleet(desired_of(shop("other", hosts=("a",)), allow_prune=True), seen)

    gone, new = renamed["shop", "a"], renamed["store", "a"]
    assert [action.verb for action in gone.actions] == ["schedule", "stop"]
    assert isinstance(gone.end, Blocked)
    assert gone.end.reason == "not removed yet: a run of its job nightly is under way, and ends by itself"
    assert isinstance(new.end, Blocked)
    assert "a run of job nightly of shop is under way on a" in new.end.reason
    assert [action.verb for action in removed["shop", "a"].actions][-1] == "remove"
