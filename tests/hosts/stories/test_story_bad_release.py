"""A bad release fails no request: the old version goes on serving, and the message shows what was observed."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from reconciler.desired_state.load import load
from reconciler.engine.converge import converge
from reconciler.engine.progress import Progress
from reconciler.model.action import Blocked
from reconciler.model.outcome import Outcome
from reconciler.targets.open_fleet import close, work_out
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, Result, nothing_touched
from tests.hosts.stories.small_release import small_release
from tests.hosts.stories.visitors import visitors
from tests.support.bad_releases import bad_release
from tests.support.releases import sha256

pytestmark = pytest.mark.hosts

NOT_AGAIN = "reconcile logs hello; then commit another version or env (these digests are not tried again)"


def told(project: Project, result: Result) -> str:
    """What a person reads, with the names of this run replaced."""
    names = {project.machine.name: "web1", project.app: "hello", str(project.keys["ports"][1]): "4001"}
    names |= {str(project.folder): "<project>"}
    return renamed(result.told, names)


def renamed(text: str, names: dict[str, str]) -> str:
    for name, shown in names.items():
        text = text.replace(name, shown)
    return re.sub(r"exited \d times", "exited 2 times", text)  # a slow look may come after the third time


@pytest.mark.parametrize(
    ("behaviour", "health", "seen", "log"),
    [
        (
            {"fail_boot": True},
            {},
            "it exited 2 times",
            ["app 0.2.0: cannot reach the database"],
        ),
        (
            {"never_healthy": True},
            {"healthy_within_seconds": 3},
            '/ping was not healthy within 3 s; the last answer was 503 ("no database")',
            ["app 0.2.0: listens on 4001"],
        ),
        (
            {"die_after_seconds": 0.5},
            {"minimum_healthy_seconds": 2},
            "it exited 2 times",
            ["app 0.2.0: listens on 4001", "app 0.2.0: out of memory"],
        ),
    ],
    ids=["crashes at boot", "never healthy", "dies when healthy"],
)
def test_a_bad_release_is_rejected_and_not_tried_again(
    project: Project, behaviour: dict[str, Any], health: dict[str, int], seen: str, log: list[str]
) -> None:
    """No request fails; the log's tail is shown; only the upload is left; a fixed commit converges."""
    first, _ = project.keys["ports"]
    project.converge()
    project.add_artifact(small_release("0.2.0", **behaviour), "0.2.0")
    project.commit(version="0.2.0", health=project.keys["health"] | health)

    with visitors(project, slow=False):
        result = project.once()
        with nothing_touched(project.machine):
            again, status = project.once(), project.status()

    assert (result.code, result.out) == (1, "")
    assert result.verbs == ["install", "start", "wait", "reject"]
    text = told(project, result)
    head, *tail, next_step = text.splitlines()
    assert head == f"host web1: hello: version 0.2.0 failed here: {seen}"
    assert tail[0] == "  version 0.1.0 still runs"
    assert [*dict.fromkeys(line.removeprefix("  | ") for line in tail[1:])] == log  # once for each start
    assert next_step == f"  next: {NOT_AGAIN}"
    assert project.running() == project.one_instance("0.1.0", first)
    assert (again.code, again.verbs) == (1, [])
    assert told(project, again).splitlines()[0] == head
    assert (status["ready"], status["wants"], status["runs"]) == (False, "0.2.0", "0.1.0")
    assert renamed(status["because"], {}) == f"version 0.2.0 failed here: {seen}"
    (quarantined,) = status["quarantined"]
    assert (quarantined["version"], renamed(quarantined["reason"], {})) == ("0.2.0", seen)

    project.add_artifact(small_release("0.3.0"), "0.3.0")
    project.converge(version="0.3.0")
    assert project.running() == project.one_instance("0.3.0", first + 1)


def test_what_stands_in_the_way_of_the_health_check_is_named(new_project: NewProject) -> None:
    """Asked as a visitor is, with the first domain as Host; each cause is told, and what to do about it."""
    project = new_project(health={"path": "/ping", "healthy_within_seconds": 6, "minimum_healthy_seconds": 0})
    first = project.keys["ports"][0]
    moved = f"HTTP/1.1 301 X\r\nLocation: https://{project.domain}/ping\r\nContent-Length: 0"
    tricks = {
        "another loopback": {"LISTEN_ON": "::1"},
        "another port": {"RUN_FIRST": "PORT=38100"},
        "a daemon": {"RUN_FIRST": "setsid perl server.pl & exit 0"},
        "a redirect": {"RAW_ANSWER": moved},
    }

    told = {}
    for name, env in tricks.items():
        project.commit(env=env)
        told[name] = project.once().told.partition("failed here: ")[2].partition("\n")[0].replace(str(first), "4000")

    assert told["another loopback"].startswith("it listens on port 4000, but not on 127.0.0.1, where Traefik asks it")
    assert told["another port"] == (
        "it did not open port 4000 within 6 s; it listens on port 38100 instead: it must heed $PORT"
    )
    assert "run it in the foreground" in told["a daemon"]
    assert told["a redirect"].startswith(
        f"/ping was not healthy within 6 s; the last answer was 301 to https://{project.domain}/ping: it wants https"
    )


def test_an_app_that_can_be_reached_past_traefik_is_reported(new_project: NewProject) -> None:
    """With a password or ranges on its route it is a problem, without it is a note, and a firewall makes it right."""
    project = new_project(env={"LISTEN_ON": "0.0.0.0"})
    result = project.converge()
    port = project.keys["ports"][0]
    assert f"visitors can reach port {port} past Traefik" in result.told + project.status()["because"]

    project.commit(route=project.keys["route"] | {"allow_ips": ["203.0.113.0/24"]})
    guarded = project.once()
    assert guarded.code == 1
    assert "past Traefik; allow_ips of its route do not count there" in guarded.told

    project.converge(firewalled=True)
    assert project.status()["because"] == "as wanted"


def test_a_bad_version_is_uploaded_and_tried_only_once_in_an_hour_of_passes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty passes, as the timer makes in an hour: after the first one nothing is uploaded, started or written."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, project.environ[name])
    project.converge()
    project.add_artifact(small_release("0.2.0", fail_boot=True), "0.2.0")
    project.commit(version="0.2.0")
    started = f"journalctl -u {project.app}@{project.keys['ports'][1]} -o cat | grep -c '^Started ' || :"

    passes = asyncio.run(_passes(project, 60))

    actions = [action.verb for outcome in passes for action in outcome.actions]
    assert actions == ["install", "start", "wait", "reject"]
    assert [outcome.end.serving for outcome in passes if isinstance(outcome.end, Blocked)] == ["0.1.0"] * 60
    assert int(project.machine.run(started).stdout) <= 4  # systemd's own restarts, until it was rejected
    assert project.version_served == "0.1.0"


async def _passes(project: Project, count: int) -> list[Outcome]:
    """So many passes over one connection, each with a fresh look."""
    desired = load(project.folder / "desired-state")
    opened = await work_out(desired, None, None)
    quiet = Progress(lambda event, **fields: None, terminal=False)
    outcomes: list[Outcome] = []
    try:
        for _ in range(count):
            outcomes += await converge(opened, quiet)
    finally:
        await close(opened)
    return outcomes


@pytest.mark.parametrize("kind", ["wrong architecture", "needs newer glibc"])
def test_a_release_that_cannot_run_on_the_host_is_not_uploaded(elixir_project: Project, kind: Any) -> None:
    """Its ELF files are compared with the host first; the message names the file and what it needs."""
    project = elixir_project
    first, _ = project.keys["ports"]
    project.converge()
    project.add_artifact(bad_release(kind, "0.2.0", "elixir"), "0.2.0")
    project.commit(version="0.2.0")

    with visitors(project, slow=False), nothing_touched(project.machine):
        result = project.once()

    needs = "GLIBC_2.99" if kind == "needs newer glibc" else "aarch64"
    text = told(project, result)
    assert (result.code, result.verbs) == (1, [])
    assert text.startswith("host web1: hello: hello 0.2.0 cannot run on host web1: ")
    assert needs in text
    assert "beam.smp" in text
    remedy = "for x86_64" if kind == "wrong architecture" else "on the host's distribution"
    assert f"  version 0.1.0 still runs\n  next: build it {remedy}" in text
    assert project.running() == project.one_instance("0.1.0", first)


def test_a_wrong_digest_and_an_unsafe_archive_touch_no_host(new_project: NewProject) -> None:
    """The bytes must be those that were committed, and may not unpack outside of their folder."""
    project = new_project()
    first, _ = project.keys["ports"]
    project.converge()
    wrong = {**project.keys["artifact"], "sha256": "0" * 64}

    with visitors(project, slow=False), nothing_touched(project.machine):
        project.commit(version="0.2.0", artifact=wrong)
        altered = project.once()
        found = sha256(project.folder / "build" / f"{project.app}-0.2.0.tar.gz")
        project.add_artifact(bad_release("traversal", "0.2.0"), "0.2.0")
        project.commit(artifact={"source": wrong["source"]})
        unsafe = project.once()

    assert (altered.code, altered.verbs, unsafe.code, unsafe.verbs) == (1, [], 1, [])
    assert told(project, altered) == ALTERED.replace("<found>", found)
    assert told(project, unsafe) == UNSAFE
    assert project.running() == project.one_instance("0.1.0", first)

    project.add_artifact(small_release("0.2.0"), "0.2.0")
    project.converge()
    assert project.running() == project.one_instance("0.2.0", first + 1)


ALTERED = """\
host web1: hello: desired-state/../build/hello-0.2.0.tar.gz: the sha256 does not match
    wanted sha256 0000000000000000000000000000000000000000000000000000000000000000
    found  sha256 <found>
  version 0.1.0 still runs
  next: if the new bytes are intended, publish them as a new version with its sha256; if not, restore the artifact
"""
UNSAFE = """\
host web1: hello: desired-state/../build/hello-0.2.0.tar.gz: ../evil: its name leaves the release with ..
  version 0.1.0 still runs
  next: build the artifact again without it
"""


def test_a_secret_in_the_log_of_a_bad_release_is_masked(project: Project) -> None:
    """A secret that the app printed before it died is shown as ***."""
    project.converge()
    project.add_artifact(small_release("0.2.0", fail_boot=True), "0.2.0")
    project.commit(version="0.2.0", env={"DATABASE_URL": {"secret": "hello/db"}})

    result = project.once(RECONCILE_SECRET_HELLO_DB="pg://u:hush@db")

    assert result.code == 1
    assert "  | app 0.2.0: cannot reach the database ***\n" in result.told
    assert "hush" not in result.out + result.err


def test_unit_settings_of_a_rejected_rollout_are_reverted(new_project: NewProject) -> None:
    """All slots of an app share them: a rejected rollout puts the proven ones back, for the next start or boot."""
    project = new_project()
    (port,) = project.keys["ports"][:1]
    project.converge(ports=[port])
    unit = project.machine.read(f"/etc/systemd/system/{project.app}@.service")
    project.commit(sandbox={"extra_writable_paths": ["/srv/there/is/no/such/folder"]})

    result = project.once()

    assert result.code == 1, str(result)
    assert result.verbs.index("reject") < result.verbs.index("unhold"), str(result)  # its visitors waited
    assert "/srv/there/is/no/such/folder: No such file or directory" in result.told
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    assert project.machine.read(f"/etc/systemd/system/{project.app}@.service") == unit
    with nothing_touched(project.machine):
        assert project.once().code == 1
    project.converge(sandbox={"extra_writable_paths": ["/opt"]})
    assert project.running() == project.one_instance("0.1.0", port)
