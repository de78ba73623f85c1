"""CI is slower than git: a version that is committed but not published yet is awaited for a while."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path, PurePosixPath
from typing import cast

import pytest

from reconciler.decide.next_action import next_action
from reconciler.desired_state.load import load, load_from
from reconciler.engine.converge import converge
from reconciler.engine.progress import Progress
from reconciler.errors import ArtifactAwaited, ArtifactMissing
from reconciler.host.transport import Completed, Transport
from reconciler.model.action import Blocked, StartInstance
from reconciler.model.desired import Desired
from reconciler.model.observed import ObservedApp, ObservedHost
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from reconciler.notify.states import State, state_of
from reconciler.notify.transitions import transitions
from reconciler.targets.awaited_artifact import GRACE_SECONDS, grant_grace
from reconciler.targets.open_fleet import work_out
from tests.support.web_server import Server, gives

APP = "app: hello\nversion: {version}\nartifact: {{source: {source}}}\nhosts: [web1]\nports: [4000, 4001]\n"
MISSING = ArtifactMissing("it is not there", "publish it")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The desired state of a repository in which nothing is committed yet."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    git("init", "--quiet", "--initial-branch=main")
    Path("ds/apps").mkdir(parents=True)
    return Path("ds")


def git(*words: str, age_seconds: float = 0) -> str:
    at = f"{int(time.time() - age_seconds)} +0000"
    environ = {**os.environ, "GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": "1000000000 +0000"}
    who = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    done = subprocess.run(["git", *who, *words], env=environ, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(age_seconds: float, app: str = "hello", version: str = "1.0", source: str = "gone.tar.gz") -> None:
    text = APP.format(version=version, source=source).replace("hello", app)
    ports = "[4000, 4001]" if app == "hello" else "[4002, 4003]"
    Path(f"ds/apps/{app}.yaml").write_text(text.replace("[4000, 4001]", ports))
    git("add", "-A")
    git("commit", "--quiet", "--message", f"{app} {version}", age_seconds=age_seconds)


def late(desired: Desired) -> ArtifactMissing:
    return asyncio.run(grant_grace(MISSING, desired, "hello"))


def test_a_missing_artifact_of_a_young_commit_is_awaited(folder: Path) -> None:
    commit(age_seconds=60)
    since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(int(git("log", "-1", "--format=%ct"))))

    error = late(load(folder))

    assert isinstance(error, ArtifactAwaited)
    assert str(error) == f"waiting for the artifact since {since}, grace 30 min: it is not there"
    assert error.next_step == "nothing, if it is on its way; else publish it"


@pytest.mark.parametrize("age", [GRACE_SECONDS + 5, 86_400, -3600])
def test_a_missing_artifact_of_an_old_or_future_commit_is_an_error(folder: Path, age: float) -> None:
    commit(age_seconds=age)

    assert late(load(folder)) is MISSING


def test_commits_to_other_apps_do_not_prolong_the_wait(folder: Path) -> None:
    """In a busy repository HEAD is always young."""
    commit(age_seconds=GRACE_SECONDS + 60)
    commit(age_seconds=1, app="other")

    assert late(load(folder)) is MISSING
    assert late(load(folder, ref="HEAD~1")) is MISSING
    commit(age_seconds=1, version="1.1")
    assert isinstance(late(load(folder)), ArtifactAwaited)
    assert late(load(folder, ref="HEAD~1")) is MISSING


def test_the_age_of_a_version_is_known_in_a_mirror_too(folder: Path) -> None:
    commit(age_seconds=60, source="https://example.com/x.tar.gz")
    git("clone", "--quiet", "--bare", ".", "mirror.git")

    desired = load_from(Path("mirror.git").resolve(), git("rev-parse", "HEAD"), PurePosixPath("ds"))

    assert isinstance(late(desired), ArtifactAwaited)


def test_without_git_the_date_of_the_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "ds/apps/hello.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(APP.format(version="1.0", source="gone.tar.gz"))

    assert isinstance(late(load(tmp_path / "ds")), ArtifactAwaited)
    os.utime(file, (1, 1))
    assert late(load(tmp_path / "ds")) is MISSING


def blocked(desired: Desired, monkeypatch: pytest.MonkeyPatch) -> Blocked:
    """How a pass over an empty host ends."""

    async def look(*_: object) -> ObservedHost:
        return ObservedHost("web1")

    class Host:
        """Answers nothing to anything."""

        name = "web1"

        async def run(self, *_: object, **__: object) -> Completed:
            return Completed(0, b"")

    async def story() -> Outcome:
        opened = await work_out(desired, None, None)
        opened.hosts = {"web1": cast(Transport, Host())}
        progress = Progress(lambda event, **fields: None, terminal=False)
        return (await converge(opened, progress, Controller("token", "me", "owner")))[0]

    monkeypatch.setattr("reconciler.engine.fleet.observe", look)
    end = asyncio.run(story()).end
    assert isinstance(end, Blocked)
    return end


@pytest.mark.parametrize("pinned", [f", sha256: {'a' * 64}", ""])
def test_a_pass_waits_without_a_notification_until_the_grace_period_is_over(
    folder: Path, pinned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the digest in git it shows when the artifact is read, without it already before."""
    commit(age_seconds=60, source=f"gone.tar.gz{pinned}")
    waits = blocked(load(folder), monkeypatch)
    commit(age_seconds=GRACE_SECONDS + 60, source=f"gone.tar.gz{pinned}", version="1.1")
    overdue = blocked(load(folder), monkeypatch)

    assert waits.reason.startswith("waiting for the artifact since ")
    assert waits.reason.endswith("grace 30 min: the artifact ds/gone.tar.gz is not there")
    assert (waits.retryable, waits.kind) == (True, "waiting")
    assert overdue.reason.endswith("the artifact ds/gone.tar.gz is not there")
    assert (overdue.retryable, overdue.kind) == (True, "artifact")
    assert notices(waits) == []
    assert notices(overdue) == ["failed"]


def notices(end: Blocked) -> list[str]:
    state: State = state_of(Outcome(end))
    return [notice.event for notice in transitions({}, {("hello", "web1"): state}, 1000.0).notices]


def test_a_host_that_already_has_the_version_does_not_wait(folder: Path) -> None:
    commit(age_seconds=60)

    opened = asyncio.run(work_out(load(folder), None, None))
    (files,) = opened.targets.values()
    assert (files.target.release, opened.refused) == (None, {})
    seen = ObservedHost("web1").with_app("hello", ObservedApp(releases=("1.0-" + "0" * 12,)))
    assert isinstance(next_action(files.target, seen), StartInstance)


def test_an_artifact_that_cannot_be_asked_for_says_why(
    folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that is wrong is not waited for."""
    monkeypatch.setenv("GITHUB_API_URL", server.address)
    server.answers["/repos/o/r/releases/tags/v1.0"] = gives(b"{}", 401)
    commit(age_seconds=60, source="github:o/r")

    end = blocked(load(folder), monkeypatch)

    assert end.reason == "the artifact of version 1.0 is not available: github:o/r: GitHub answers 401"
    assert end.kind == "artifact"
