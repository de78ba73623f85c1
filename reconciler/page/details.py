"""One app on one host, one host, one job: every value that the page shows of them, as text. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.decide.certificates import names_without_certificate
from reconciler.decide.own_certificate import SOON_SECONDS
from reconciler.model.job import Job
from reconciler.model.job_times import next_times
from reconciler.model.observed import TRAEFIK, Certificate, ObservedApp, ObservedHost, Slot, Unreachable
from reconciler.model.systemd_time import since_epoch
from reconciler.model.target import Target
from reconciler.page.index import Index, Row
from reconciler.page.snapshot import ActionSeen
from reconciler.page.wording import bytes_of, size

SKEW_SECONDS = 5
LITTLE_MEMORY_KIB = 100 * 1024
LITTLE_DISK_SHARE = 20  # less than a twentieth is free


@dataclass(frozen=True)
class Memory:
    """The memory of an instance, and the share of its limit if that is a number of bytes."""

    text: str
    share: float | None = None


@dataclass(frozen=True)
class Instance:
    """One app on one host."""

    row: Row
    slot: str = ""
    since: float | None = None
    since_text: str = ""
    health: str = ""
    connections: int | None = None
    memory: Memory | None = None
    restarts: int = 0
    route: str = ""
    certificates: tuple[CertificateSeen, ...] = ()
    suspended: str = ""
    quarantined: tuple[tuple[str, str, float], ...] = ()  # version, reason, when
    crashes: tuple[tuple[str, float], ...] = ()
    commit: str = ""
    doing: tuple[ActionSeen, ...] = ()


@dataclass(frozen=True)
class CertificateSeen:
    """A name of the route and the end of its certificate; None if Traefik has none for it."""

    name: str
    ends: float | None
    soon: bool = False


@dataclass(frozen=True)
class JobSeen:
    """A job of an app on its host."""

    name: str
    host: str
    at: str
    state: str
    next: str
    last: str
    last_at: float | None
    last_seconds: float | None
    failed: bool


@dataclass(frozen=True)
class HostSeen:
    """One host."""

    name: str
    address: str
    rows: tuple[Row, ...]
    reachable: bool
    problem: str = ""
    next_step: str = ""
    looked_at: float | None = None
    memory: str = ""
    little_memory: bool = False
    disk: str = ""
    little_disk: bool = False
    machine: str = ""
    clock: str = ""
    clock_off: bool = False
    traefik: str = ""
    traefik_bad: bool = False
    lease: str = ""
    notes: tuple[str, ...] = ()


def instance_of(index: Index, row: Row) -> Instance:
    look, target = index.look(row.host), index.target(row.key)
    doing = index.snapshot.doing.get(row.key, ())
    if not isinstance(look, ObservedHost):
        return Instance(row, doing=doing)
    app, slot = look.app(row.app), index.live_slot(row.key)
    limit = (
        index.snapshot.desired.apps[row.app].on(row.host).memory_limit if row.app in index.snapshot.desired.apps else ""
    )
    quarantined = tuple((q.identity.version, q.reason, float(q.at_epoch_seconds)) for q in app.quarantined)
    return Instance(
        row,
        slot.name if slot else "",
        since_epoch(slot.since) if slot else None,
        slot.since if slot else "",
        _health(target, slot),
        slot.open_connections if slot and slot.name.isdigit() else None,
        _memory(slot, limit) if slot and slot.memory_kib else None,
        slot.restarts if slot else 0,
        _route(target, app, look),
        _certificates(target, look),
        app.suspended or "",
        quarantined,
        tuple((dump.path, float(dump.at_epoch_seconds)) for dump in app.crash_dumps),
        (app.commit or "")[:7],
        doing,
    )


def _health(target: Target, slot: Slot | None) -> str:
    if slot is None:
        return "does not run"
    if slot.state in ("failed", "deactivating", "inactive"):
        return {"failed": "failed", "deactivating": "is stopping"}.get(slot.state, "does not run")
    if slot.healthy is None:
        return "running" if target.health_path is None or not slot.health else slot.health
    answer = f" ({slot.health})" if slot.health else ""
    return f"{'healthy' if slot.healthy else 'not healthy'}{answer}"


def _memory(slot: Slot, limit: str) -> Memory:
    used, most = slot.memory_kib * 1024, bytes_of(limit)
    if most:
        return Memory(f"{size(used)} of {size(most)}", min(1.0, used / most))
    return Memory(f"{size(used)}" + (f", at most {limit} of the host" if limit else ""))


def _route(target: Target, app: ObservedApp, look: ObservedHost) -> str:
    if target.route is None:
        return ""
    where = ", ".join(target.route.domains) or "its route"
    if look.traefik:
        return f"{where}: Traefik did not say ({look.traefik})"
    if app.applied is None:
        return f"{where}: not in Traefik"
    if app.applied.problem:
        return f"{where}: {app.applied.problem}"
    return f"{where} → slot {app.applied.slot}"


def _certificates(target: Target, look: ObservedHost) -> tuple[CertificateSeen, ...]:
    if target.route is None or look.certificates is None:
        return ()
    lacking, now = names_without_certificate(target, look), look.facts.now_epoch_seconds
    found = []
    for name in target.route.certified:
        ends = max((c.ends_epoch_seconds for c in look.certificates if _is_for(c, name)), default=None)
        shown = None if name in lacking or ends is None else float(ends)
        found.append(CertificateSeen(name, shown, shown is not None and shown - now < SOON_SECONDS))
    return tuple(found)


def _is_for(certificate: Certificate, name: str) -> bool:
    held = {each.lower() for each in certificate.names}
    return bool({name, f"*.{name.partition('.')[2]}"} & held)


def jobs_of(index: Index, app: str) -> list[JobSeen]:
    """The jobs of the app, each on its host."""
    wanted = index.snapshot.desired.apps.get(app)
    if wanted is None:
        return []
    jobs = sorted(wanted.jobs.items())
    return [_job(index, app, name, job, wanted.host_of_job(name)) for name, job in jobs]


def _job(index: Index, app: str, name: str, job: Job, host: str) -> JobSeen:
    look = index.look(host)
    now = datetime.fromtimestamp(index.snapshot.at_epoch_seconds, UTC)
    if not isinstance(look, ObservedHost):
        return JobSeen(name, host, job.at or "by hand", "not known", "", "", None, None, False)
    found = look.app(app).job(name)
    times = [] if found.suspended else next_times(job, look.facts.zone, now, 1)
    state = "scheduled" if found.scheduled else "by hand" if job.at is None else "its timer does not run"
    if not found.files:
        state = "not on the host yet"
    if found.suspended:
        state = f"suspended {found.suspended}"
    if found.runs_since is not None:
        state = "runs now"
    last = found.last
    return JobSeen(
        name,
        host,
        job.at or "by hand",
        state,
        times[0].replace("T", " ").replace("Z", " UTC") if times else "",
        last.how if last else "never ran",
        float(last.began_epoch_seconds) if last else None,
        float(max(0, last.ended_epoch_seconds - last.began_epoch_seconds)) if last else None,
        bool(last and last.failed),
    )


def host_of(index: Index, name: str) -> HostSeen:
    """One host, as it was seen last."""
    snapshot, look = index.snapshot, index.look(name)
    rows = tuple(row for row in index.by_host.get(name, []) if row.app)
    looked_at, address = snapshot.looked_at.get(name), snapshot.addresses.get(name, "")
    address = "" if address == name else address
    if look is None:
        return HostSeen(name, address, rows, reachable=True, problem="not looked at yet")
    if isinstance(look, Unreachable):
        reason = look.reason.removeprefix(f"host {name}: ")
        return HostSeen(name, address, rows, False, reason, look.next_step or "", looked_at)
    facts = look.facts
    skew = facts.now_epoch_seconds - looked_at if looked_at and facts.now_epoch_seconds else 0.0
    off = abs(skew) > SKEW_SECONDS
    cores = f"{facts.cores} core{'s' * (facts.cores > 1)}" if facts.cores else ""
    traefik, bad = _traefik(index, look)
    return HostSeen(
        name, address, rows, True, look.locked or "", "", looked_at,
        f"{size(facts.memory_available_kib * 1024)} free" if facts.memory_available_kib else "",
        0 < facts.memory_available_kib < LITTLE_MEMORY_KIB,
        f"{size(facts.disk_free_kib * 1024)} of {size(facts.disk_kib * 1024)} free" if facts.disk_kib else "",
        facts.disk_free_kib * LITTLE_DISK_SHARE < facts.disk_kib,
        ", ".join(filter(None, [facts.arch, cores])),
        (f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}" if off else "in step") if looked_at else "",
        off, traefik, bad,
        f"held by {look.lease.holder}" if look.lease.left_seconds > 0 and look.lease.holder != "-" else "",
        tuple(filter(None, [facts.route_trouble, facts.noexec and f"{facts.noexec} is mounted noexec"])),
    )  # fmt: skip


def _traefik(index: Index, look: ObservedHost) -> tuple[str, bool]:
    routed = any(target.route for key, target in index.snapshot.desired.targets.items() if key[1] == look.host)
    version = index.live_slot((TRAEFIK, look.host))
    runs = f" {version.running.version}" if version and version.running else ""
    if look.traefik is None:
        return (f"answers{runs and ','}{runs}", False) if look.facts.traefik_up or runs or routed else ("", False)
    return (look.traefik, True) if routed else ("", False)
