"""Snapshots to look at: a small fleet in which everything occurs, a calm one, an empty, a hostile and a large one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from reconciler.decide.order import FleetStep
from reconciler.model.action import Blocked, Converged, WaitHealthy
from reconciler.model.desired import App
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.identity import Identity
from reconciler.model.observed import (
    AppliedRoute,
    Certificate,
    CrashDump,
    HostFacts,
    ObservedApp,
    ObservedHost,
    Quarantine,
    RouteFile,
    Slot,
    Unreachable,
)
from reconciler.model.observed_job import JobRun, ObservedJob
from reconciler.page.snapshot import ActionSeen, Commit, Entry, Refusal, Snapshot
from reconciler.targets.processes import with_processes
from tests.decide.test_fleet import app, desired_of

NOW = 1_796_064_595.0  # 2026-11-30 18:49:55 UTC
DAY = 86_400
HEAD = Commit("4f1c2a9d" * 5, NOW - 54, "Anna Huber", "Roll out shop 2.4.0 with the new checkout")
POOL = Commit("77aa01e4" * 5, NOW - 2 * DAY, "Ben Ortner", "api 0.9.12: pool size from env")


def routed(name: str, hosts: list[str], version: str, port: int, **more: object) -> App:
    base: dict[str, object] = {"version": version, "ports": [port, port + 1], "memory_max": "512M"}
    return app(name, hosts, **{**base, "route": {"domains": [f"{name}.example.com"], "tls": True}, **more})


APPS = (
    routed(
        "shop", ["web1", "web2", "web3", "web4"], "2.4.0", 4000, migrate="bin/shop eval Shop.migrate()",
        processes={"mailer": {"start": "bin/shop mailer"}},
        jobs={"nightly": {"run": "bin/report", "at": "*-*-* 03:00 Europe/Vienna"},
              "invoices": {"run": "bin/invoices", "at": "Mon *-*-* 06:30 UTC"}},
    ),
    routed("blog", ["web1", "web2"], "7.1.3", 4010),
    routed("api", ["web1", "web2", "web3"], "0.9.12", 4020, memory_max="256M"),
    app("search", ["web3"], version="1.0.4", ports=[], start="bin/search"),
    routed("wiki", ["web5"], "3.3", 4030),
)  # fmt: skip


def identity_of(desired: DesiredFleet, key: Key, version: str = "") -> Identity:
    target = desired.targets[key]
    found = target.identity(target.release or "")
    return replace(found, release=f"{version}-{'b' * 12}") if version else found


def seen_app(desired: DesiredFleet, key: Key, version: str = "", **slot: object) -> ObservedApp:
    """The app as it serves, in this or another version."""
    target = desired.targets[key]
    identity = identity_of(desired, key, version)
    name = target.slots[0]
    base: dict[str, object] = {
        "prepared": identity, "state": "active", "running": identity, "enabled": True, "listening": True,
        "healthy": True, "health": "200" if target.health_path else "", "memory_kib": 148_320,
        "since": "Sat 2026-11-28 09:14:02 UTC", "open_connections": 7, "env_keys": target.env_keys,
    }  # fmt: skip
    live = Slot(name, **{**base, **slot})  # type: ignore[arg-type]
    digest = target.route.digests[name] if target.route else ""
    return ObservedApp(
        slots=(live,), releases=(live.running.release if live.running else "",), unit=target.unit, owner="reconcile",
        commit="4f1c2a9d" * 5, migrated=(target.migration(target.release or ""),),
        route=RouteFile(name, digest, intact=True) if target.route else None,
        applied=AppliedRoute(name, digest) if target.route else None,
    )  # fmt: skip


def facts(**more: object) -> HostFacts:
    base = HostFacts(
        int(NOW) - 12,
        memory_available_kib=1_893_000,
        disk_free_kib=21_300_000,
        disk_kib=39_000_000,
        cores=2,
        arch="amd64",
        traefik_up=True,
    )
    return replace(base, **more)  # type: ignore[arg-type]


def host(name: str, **apps: ObservedApp) -> ObservedHost:
    names = ("shop.example.com", "blog.example.com", "api.example.com", "wiki.example.com")
    certificates = (Certificate(names, int(NOW) + 61 * DAY),)
    named = {app.replace("__", "--"): each for app, each in apps.items()}
    return ObservedHost(name, facts(), apps=named, certificates=certificates, entry_points=("web", "websecure"))


def acting(verb: str, subject: str, reason: str, began: float, ended: float | None = None, **more: Any) -> ActionSeen:
    end = None if ended is None else NOW - ended
    return ActionSeen(verb, subject, reason, NOW - began, end, **more)


ROLLOUT = (
    acting("install", "2.4.0-9f2c1d77aa01", "not on the host", 31, 22.4),
    acting("migrate", "2.4.0-9f2c1d77aa01", "once per release, before any slot is touched", 22.4, 19),
    acting("start", "slot 4001, 2.4.0", "version 2.3.1 → 2.4.0", 19, 17.6),
    acting("wait", "slot 4001", "healthy within 60 s", 17.6, progress="GET /ping: 200, healthy for 1.2 s of 2 s"),
)
LOG = (
    "18:49:41.120 [info] Running ApiWeb.Endpoint with Bandit 1.6.1 at 127.0.0.1:4021 (http)",
    "18:49:41.377 [error] Postgrex.Protocol (#PID<0.412.0>) failed to connect: tcp connect (db1:5432): "
    "connection refused - :econnrefused",
    "18:49:46.381 [error] could not fetch repo settings: ** (DBConnection.ConnectionError) connection not available",
    "18:49:51.402 [notice] Application api exited: shutdown",
)
FAILED = "slot 4021 (0.9.12) was not healthy within 60 s: the health path answered 500"
HISTORY = (
    Entry(
        NOW - 1260, "web3", "shop", "anna@ci-3", "4f1c2a9d" * 5, "2.3.1", "2.3.1", "its unit was stopped", 3.4, True,
        "converged", verbs=("start", "wait"), actions=(
            acting("start", "slot 4000, 2.3.1", "its unit was stopped", 1264, 1263, drift="stopped"),
            acting("wait", "slot 4000", "healthy within 60 s", 1263, 1260.6),
        ),
    ),
    Entry(
        NOW - 5400, "web2", "blog", "anna@ci-3", "4f1c2a9d" * 5, "7.1.2", "7.1.3", "version 7.1.2 → 7.1.3", 38.2, True,
        "converged", verbs=("install", "start", "wait", "cutover", "confirm", "drain", "stop"),
    ),
    Entry(
        NOW - 5450, "web1", "blog", "anna@ci-3", "4f1c2a9d" * 5, "7.1.2", "7.1.3", "version 7.1.2 → 7.1.3", 41.9, True,
        "converged", verbs=("install", "start", "wait", "cutover", "confirm", "drain", "stop"),
    ),
    Entry(
        NOW - 2 * DAY, "web3", "api", "ben@laptop", "77aa01e4" * 5, "0.9.11", "0.9.11", "version 0.9.11 → 0.9.12", 64.0,
        False, "not converged", FAILED, ("install", "start", "wait", "reject"),
    ),
    Entry(
        NOW - 9 * DAY, "web1", "shop", "anna@ci-3", "0c44b1d2" * 5, "2.3.0", "2.3.1", "env SMTP_HOST changed", 22.1,
        True, "converged", verbs=("start", "wait", "cutover", "confirm", "drain", "stop"),
    ),
)  # fmt: skip


@cache
def sample() -> Snapshot:
    """A small fleet in the middle of the night: a rollout, a failure, an unreachable host, and everything else."""
    desired = desired_of(*(each for app in APPS for each in with_processes(app)), hosts=("db1",))
    seen = SeenFleet({name: host(name) for name in desired.hosts})

    def put(key: Key, each: ObservedApp) -> None:
        nonlocal seen
        look = seen.host(key[1])
        assert look is not None
        seen = seen.with_host(look.with_app(key[0], each))

    steps: dict[Key, FleetStep] = {}
    for key, target in desired.targets.items():
        put(key, seen_app(desired, key))
        steps[key] = Converged(key[1], key[0], target.version, target.slots[0])
    wanted = {job.name: job.files for job in desired.targets["shop", "web1"].jobs}
    failed = JobRun(int(NOW) - 43_800, int(NOW) - 43_795, "exit-code", 3, "2.3.1-x")
    well = JobRun(int(NOW) - 60_000, int(NOW) - 59_930, "success", 0, "2.3.1-x")
    jobs = (
        ObservedJob("invoices", wanted["invoices"], scheduled=True, last=failed),
        ObservedJob("nightly", wanted["nightly"], scheduled=True, last=well),
    )
    identity = desired.targets["shop", "web1"].identity("2.4.0-9f2c1d77aa01")
    moving = seen_app(desired, ("shop", "web1"), "2.3.1")
    moving = moving.with_slot(Slot("4001", prepared=identity, running=identity, state="active", on_trial=True))
    put(("shop", "web1"), replace(moving, jobs=jobs))
    under_way = WaitHealthy("web1", "shop", "healthy within 60 s", "4001")
    steps["shop", "web1"] = under_way
    for name in ("web2", "web3", "web4"):
        put(("shop", name), seen_app(desired, ("shop", name), "2.3.1"))
        steps["shop", name] = Wait(name, "shop", "waits until shop 2.4.0 is converged on web1")
    quarantined = Quarantine(desired.targets["api", "web3"].identity("0.9.12-aaaaaaaaaaaa"), FAILED, int(NOW) - 2 * DAY)
    api = seen_app(desired, ("api", "web3"), "0.9.11", open_connections=132, memory_kib=251_000, restarts=2)
    dump = CrashDump("/var/lib/api/erl_crash.dump", int(NOW) - 3 * DAY)
    put(("api", "web3"), replace(api, quarantined=(quarantined,), crash_dumps=(dump,)))
    steps["api", "web3"] = Blocked(
        "web3", "api", f"host web3: api: {FAILED}", "reconcile logs api --host web3, then commit a fix", "0.9.11", LOG,
        kind="quarantined",
    )  # fmt: skip
    put(("search", "web3"), ObservedApp())
    steps["search", "web3"] = Blocked(
        "web3", "search", "the artifact https://example.com/search-1.0.4.tar.gz answered 404",
        "publish it, or set version back in desired-state/apps/search.yaml", kind="artifact",
    )  # fmt: skip
    put(("blog", "web2"), replace(seen_app(desired, ("blog", "web2")), suspended="by anna until 20:00: load test"))
    steps["blog", "web2"] = Blocked(
        "web2", "blog", "suspended by anna until 20:00: load test", "reconcile resume blog", "7.1.3", kind="suspended"
    )
    note = "https for api.example.com is answered with Traefik's default certificate"
    steps["api", "web2"] = Converged("web2", "api", "0.9.12", "4020", note, "point its DNS to this host")
    lost = Unreachable("web5", "host web5: no answer on port 22 within 10 s", "ssh web5; is it switched off?")
    seen = seen.with_host(lost)
    steps["wiki", "web5"] = Blocked("web5", "wiki", lost.reason, lost.next_step, kind="unreachable")
    db = seen.host("db1")
    assert db is not None
    seen = seen.with_host(
        replace(db, facts=facts(memory_available_kib=61_000, disk_free_kib=790_000, now_epoch_seconds=int(NOW) + 31))
    )
    return Snapshot(
        desired, replace(seen, under_way={("shop", "web1"): under_way}), steps, NOW, "watch", 60.0,
        HEAD, {"shop": HEAD, "api": POOL},
        looked_at=dict.fromkeys(desired.hosts, NOW - 12),
        addresses={name: f"{name}.example.net" for name in desired.hosts},
        doing={("shop", "web1"): ROLLOUT}, history=HISTORY,
    )  # fmt: skip


@cache
def calm() -> Snapshot:
    """Everything is as wanted."""
    base = sample()
    steps = {key: Converged(key[1], key[0], t.version, t.slots[0]) for key, t in base.desired.targets.items()}
    seen = SeenFleet({name: host(name) for name in base.desired.hosts})
    for key in base.desired.targets:
        look = seen.host(key[1])
        assert look is not None
        app = seen_app(base.desired, key)
        jobs = tuple(ObservedJob(job.name, job.files, scheduled=True) for job in base.desired.targets[key].jobs)
        seen = seen.with_host(look.with_app(key[0], replace(app, jobs=jobs)))
    return replace(base, seen=seen, steps=steps, doing={})


@cache
def empty() -> Snapshot:
    """Nothing is wanted yet, and the desired state is refused."""
    refusal = Refusal("apps/hello.yaml:3:1: verison is not a key; did you mean version?", "correct it and commit")
    return Snapshot(DesiredFleet({}), SeenFleet(), {}, NOW, "watch", 60.0, refusal=refusal)


EVIL = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'`{{7*7}}\u202egnp.\u2066\x1b[31m\x07"


@cache
def hostile() -> Snapshot:
    """Every word that comes from a host, an app or a commit tries to be more than text."""
    base = sample()
    steps = dict(base.steps)
    steps["api", "web3"] = Blocked(
        "web3", "api", EVIL, f"reconcile logs {EVIL}", "0.9.11", (EVIL, EVIL), kind="unhealthy"
    )
    steps["blog", "web1"] = Converged("web1", "blog", "7.1.3", "4010", EVIL, EVIL)
    steps["shop", "web2"] = Wait("web2", "shop", EVIL)
    web1 = base.seen.host("web1")
    assert web1 is not None
    slot = Slot("4010", state="active", since=EVIL, health=EVIL, healthy=False, memory_kib=1)
    bad = replace(web1.app("blog"), slots=(slot,), suspended=EVIL, applied=AppliedRoute("4010", "x", EVIL))
    seen = base.seen.with_host(replace(web1, traefik=EVIL, apps={**web1.apps, "blog": bad}))
    seen = seen.with_host(Unreachable("web5", EVIL, EVIL))
    entry = Entry(NOW, "web1", "shop", EVIL, EVIL, EVIL, EVIL, EVIL, 1.0, False, EVIL, EVIL, ("wait",), ROLLOUT)
    doing = {("shop", "web1"): (acting("wait", EVIL, EVIL, 5, progress=EVIL),)}
    commit = Commit("4f1c2a9d" * 5, NOW, EVIL, EVIL)
    return replace(
        base, steps=steps, seen=seen, commit=commit, app_commits={"shop": commit}, doing=doing, history=(entry,),
        refusal=Refusal(EVIL, EVIL), addresses={"web1": EVIL},
    )  # fmt: skip


@cache
def large(hosts: int = 1000, apps: int = 5) -> Snapshot:
    """Many hosts with all apps each; one in a hundred is unreachable, one in fifty blocked, one in thirty rolls out."""
    names = [f"web{number:04}" for number in range(hosts)]
    wanted = [routed(f"app{number}", names, "1.0.0", 4000 + 2 * number) for number in range(apps)]
    one = desired_of(*(each.model_copy(update={"hosts": (names[0],)}) for each in wanted))
    targets = {
        (each.app, name): replace(one.targets[each.app, names[0]], host=name) for each in wanted for name in names
    }
    desired = replace(one, targets=targets, apps={each.app: each for each in wanted}, hosts=tuple(names))
    base = host("x", **{each.app: seen_app(desired, (each.app, names[0])) for each in wanted})
    steps: dict[Key, FleetStep] = {}
    under_way = {}
    hosts_seen: dict[str, ObservedHost | Unreachable] = {}
    for number, name in enumerate(names):
        lost, silence = number % 100 == 7, f"host {name}: no answer within 10 s"
        hosts_seen[name] = Unreachable(name, silence) if lost else replace(base, host=name)
        for each in wanted:
            key = each.app, name
            if lost:
                steps[key] = Blocked(name, each.app, silence, kind="unreachable")
            elif number % 50 == 3 and each.app == "app1":
                steps[key] = Blocked(name, each.app, FAILED, "reconcile logs app1", "0.9", LOG, kind="quarantined")
            elif number % 30 == 5 and each.app == "app2":
                steps[key] = under_way[key] = WaitHealthy(name, each.app, "healthy within 60 s", "4001")
            else:
                steps[key] = Converged(name, each.app, "1.0.0", "4000")
    history = tuple(replace(HISTORY[1], host=names[n % hosts], app=f"app{n % apps}") for n in range(1000))
    return Snapshot(
        desired, SeenFleet(hosts_seen, under_way), steps, NOW, "watch", 60.0, HEAD,
        looked_at=dict.fromkeys(names, NOW - 12), doing=dict.fromkeys(under_way, ROLLOUT), history=history,
    )  # fmt: skip


SAMPLES: dict[str, Callable[[], Snapshot]] = {
    "sample": sample,
    "calm": calm,
    "empty": empty,
    "hostile": hostile,
    "large": large,
}
