"""Following a branch of a remote repository is cheap and read-only; an older or empty state is never taken."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.desired_state.git import remote as remote_module
from reconciler.desired_state.git.address import read_address, read_branch, read_folder
from reconciler.desired_state.git.ask import Bounds
from reconciler.desired_state.git.commit import CommitRefused, RemoteUnreachable
from reconciler.desired_state.git.follow import Follower, Revision
from reconciler.desired_state.git.history import Direction, History, read_history
from reconciler.desired_state.git.remote import Remote
from reconciler.desired_state.load import load_from
from reconciler.errors import GitError, InvalidDesiredState, UsageError
from tests.support.git_server import https_server

HELLO = 'app: hello\nversion: {version}\nartifact: {{source: "{source}"}}\nhosts: [web1]\nports: [4000, 4001]\n'
HTTPS = "https://example.com/hello-{version}.tar.gz"


def git(*words: str, folder: Path) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


class Author:
    """A person with a clone of the remote repository."""

    def __init__(self, folder: Path, url: Path) -> None:
        self.folder, self.url = folder, url
        git("init", "-q", "-b", "main", str(folder), folder=folder.parent)
        git("remote", "add", "origin", str(url), folder=folder)

    def commit(self, version: str, source: str = HTTPS, name: str = "hello") -> str:
        path = self.folder / "desired-state/apps" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = HELLO.format(version=version, source=source).replace("app: hello", f"app: {name}")
        path.write_text(text if name == "hello" else text.replace("4000, 4001", "5000, 5001"))
        git("add", "-A", folder=self.folder)
        git("commit", "-qm", version, "--allow-empty", folder=self.folder)
        return git("rev-parse", "HEAD", folder=self.folder)

    def push(self, *words: str, branch: str = "main") -> None:
        git("push", "-q", *words, "origin", f"HEAD:refs/heads/{branch}", folder=self.folder)

    def publish(self, version: str, **more: str) -> str:
        commit = self.commit(version, **more)
        self.push("--force")
        return commit

    def back_to(self, commit: str) -> None:
        git("reset", "-q", "--hard", commit, folder=self.folder)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def url(tmp_path: Path) -> Path:
    git("init", "-q", "--bare", "-b", "main", str(tmp_path / "remote.git"), folder=tmp_path)
    return tmp_path / "remote.git"


@pytest.fixture
def author(tmp_path: Path, url: Path) -> Author:
    return Author(tmp_path / "author", url)


def follower(url: Path | str, *, allow_step_back: bool = False, branch: str | None = "main") -> Follower:
    return Follower(Remote(str(url), branch), allow_step_back=allow_step_back)


def newest(following: Follower, *applied: str) -> Revision:
    return asyncio.run(following.find_newest(applied))


def version(revision: Revision) -> str:
    return load_from(revision.mirror, revision.commit, revision.folder).apps[0].version


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git wrapper on PATH that logs its arguments."""
    (tmp_path / "bin").mkdir()
    real, note, shim = shutil.which("git"), tmp_path / "asked", tmp_path / "bin/git"
    shim.write_text(f'#!/bin/sh\necho "$*" >>{note}\nexec {real} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    note.touch()
    return note


# Following


def test_every_pushed_commit_is_followed(author: Author, url: Path) -> None:
    first = author.publish("1")
    following = follower(url)
    before = newest(following)
    second = author.publish("2")
    after = newest(following)

    assert [(before.commit, version(before)), (after.commit, version(after))] == [(first, "1"), (second, "2")]
    assert (before.notes, after.notes, before.problem, after.problem) == ((), (), None, None)


def test_git_is_called_once_when_nothing_is_new(
    author: Author, url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author.publish("1")
    following = follower(url)
    first = newest(following)
    asked = questions(tmp_path, monkeypatch)

    assert newest(following) is first
    (question,) = asked.read_text().splitlines()
    assert question.endswith(f" ls-remote -- {url} refs/heads/main")


def test_the_first_fetch_gets_only_the_newest_commit_and_later_ones_only_new_commits(author: Author, url: Path) -> None:
    for number in range(5):
        author.publish(str(number))
    following = follower(url)
    mirror = newest(following).mirror
    alone = git("rev-list", "--count", "--all", folder=mirror)
    author.commit("5")
    author.publish("6")
    newest(following)

    assert (alone, git("rev-list", "--count", "--all", folder=mirror)) == ("1", "3")


def test_without_a_branch_the_head_of_the_remote_is_followed(author: Author, url: Path) -> None:
    """Other refs with the same ending do not count."""
    author.commit("other")
    author.push(branch="refs/heads/main")
    author.push(branch="HEAD")
    author.back_to(author.commit("1"))
    git("push", "-q", "origin", "HEAD:refs/heads/trunk", folder=author.folder)
    git("symbolic-ref", "HEAD", "refs/heads/trunk", folder=url)

    assert version(newest(follower(url, branch=None))) == "1"


def test_a_forced_push_to_another_line_of_history_is_followed_and_reported(author: Author, url: Path) -> None:
    base = author.publish("1")
    following = follower(url)
    newest(following)
    old = author.publish("2")
    newest(following)
    author.back_to(base)
    new = author.publish("3")
    revision = newest(following, old)

    assert (revision.commit, version(revision), revision.problem) == (new, "3", None)
    assert revision.notes == (f"{url} main was rewritten: {new[:7]} does not descend from {old[:7]}",)


def test_a_forced_push_that_forks_before_the_first_fetched_commit_is_followed(author: Author, url: Path) -> None:
    """The mirror starts with one commit; the history needed for the comparison is fetched on demand."""
    base = author.publish("0")
    for number in range(100):
        git("commit", "-qm", str(number), "--allow-empty", folder=author.folder)
    old = author.publish("1")
    following = follower(url)
    newest(following)
    author.back_to(base)
    new = author.publish("2")

    assert newest(following, old).commit == new


def test_a_recreated_repository_is_followed_if_a_step_back_is_allowed(author: Author, url: Path) -> None:
    old = author.publish("1")
    newest(follower(url))
    shutil.rmtree(url)
    git("init", "-q", "--bare", "-b", "main", str(url), folder=url.parent)
    shutil.rmtree(author.folder)
    new = Author(author.folder, url).publish("2")

    refused = newest(follower(url), old)
    assert (refused.commit, isinstance(refused.problem, CommitRefused)) == (old, True)
    assert newest(follower(url, allow_step_back=True), old).commit == new


# Never back


def test_an_older_tip_is_refused_and_the_last_commit_stays_in_force(author: Author, url: Path) -> None:
    """A forced push and a lagging mirror look the same from here."""
    older = author.publish("1")
    following = follower(url)
    newest(following)
    newer = author.publish("2")
    newest(following)
    author.back_to(older)
    author.push("--force")
    revision = newest(following)
    problem = revision.problem

    assert (revision.commit, version(revision)) == (newer, "2")
    assert isinstance(problem, CommitRefused)
    assert (
        str(problem) == f"{url} main is at {older[:7]}, which is older than {newer[:7]} that was followed before"
        and "git revert" in problem.next_step
        and "--allow-step-back" in problem.next_step
    )
    assert newest(follower(url)).commit == newer, "a new process remembers"
    allowed = newest(follower(url, allow_step_back=True))
    assert (allowed.commit, allowed.notes) == (
        older,
        (f"{url} main went back from {newer[:7]} to {older[:7]}, as --allow-step-back allows",),
    )


def test_a_tip_older_than_what_a_host_runs_is_refused_with_an_empty_cache(author: Author, url: Path) -> None:
    """As in CI: nothing is cached, so the remote is asked which of the two commits is older."""
    older = author.commit("1")
    for number in range(70):
        git("commit", "-qm", str(number), "--allow-empty", folder=author.folder)
    newer = author.publish("2")
    git("update-ref", "refs/heads/main", older, folder=url)
    with pytest.raises(CommitRefused, match="is older than"):
        newest(follower(url), newer)

    assert newest(follower(url, allow_step_back=True), newer).commit == older


def test_a_remote_that_does_not_know_what_a_host_runs_is_refused(author: Author, url: Path) -> None:
    """The mirror lags, or the commit was applied from a laptop and never pushed."""
    author.publish("1")
    unpushed = author.commit("2")
    with pytest.raises(CommitRefused, match=f"does not have {unpushed[:7]} that was followed before") as refused:
        newest(follower(url), unpushed)

    assert "push it" in refused.value.next_step
    author.push()
    assert newest(follower(url), unpushed).commit == unpushed


def test_the_tip_is_compared_with_what_hosts_run_even_if_it_has_not_changed(author: Author, url: Path) -> None:
    """The first pass learns from the hosts which commit they run; only then can the two be compared."""
    older = author.publish("1")
    newer = author.publish("2")
    git("update-ref", "refs/heads/main", older, folder=url)
    following = follower(url)
    newest(following)
    with pytest.raises(CommitRefused, match="is older than"):
        newest(following, newer)


def test_a_host_that_lags_behind_does_not_count_as_a_step_back(author: Author, url: Path) -> None:
    commits = [author.publish(str(number)) for number in range(3)]

    assert newest(follower(url), commits[2], commits[0]).commit == commits[2]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_a_shallow_history_never_gives_a_wrong_answer(seed: int) -> None:
    """The order of two commits in a shallow repository always equals their order in the full history."""
    chance = random.Random(seed)
    names = [str(number) for number in range(chance.randint(2, 9))]
    parents = {
        name: tuple(chance.sample(names[:index], min(index, chance.choice([0, 1, 1, 1, 2]))))
        for index, name in enumerate(names)
    }
    whole = History(parents)
    cut = frozenset(name for name in names if parents[name] and chance.random() < 0.25)
    starts = chance.sample(names, 2)
    shallow = History({name: () if name in cut else parents[name] for name in names})
    known = {name: shallow.parents[name] for name in shallow.ancestors(*starts)}
    new, old = starts
    seen = History(known, cut & known.keys())

    assert seen.direction(new, old) in (Direction.UNKNOWN, whole.direction(new, old))
    assert seen.commits_between(new, old) in (None, whole.commits_between(new, old))
    assert whole.direction(new, old) is not Direction.UNKNOWN


# When something is wrong


def test_an_unreachable_remote_leaves_the_last_commit_in_force(author: Author, url: Path) -> None:
    commit = author.publish("1")
    following = follower(url)
    newest(following)
    url.rename(url.with_name("away"))

    for each in (following, follower(url)):  # and in a new process
        revision = newest(each)
        assert (revision.commit, version(revision), isinstance(revision.problem, RemoteUnreachable)) == (
            commit, "1", True,
        )  # fmt: skip
        assert revision.problem and revision.problem.retryable and str(url) in str(revision.problem)
    url.with_name("away").rename(url)
    assert newest(following).problem is None


def test_an_unreachable_remote_without_an_earlier_commit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RemoteUnreachable) as refused:
        newest(follower(tmp_path / "nothing"))

    assert (refused.value.retryable, refused.value.exit_code) == (True, 2)


def test_a_deleted_branch_leaves_the_last_commit_in_force(author: Author, url: Path) -> None:
    commit = author.publish("1")
    following = follower(url)
    newest(following)
    author.push(branch="other")
    git("update-ref", "-d", "refs/heads/main", folder=url)
    revision = newest(following)

    assert (revision.commit, str(revision.problem)) == (commit, f"{url} has no branch main")


def test_a_branch_whose_name_has_the_same_ending_is_not_followed(author: Author, url: Path) -> None:
    author.commit("1")
    for ref in ("refs/heads/refs/heads/main", "refs/heads/x/main"):
        git("push", "-q", "origin", f"HEAD:{ref}", folder=author.folder)
    with pytest.raises(RemoteUnreachable, match="has no branch main"):
        newest(follower(url))


def test_a_repository_without_a_commit_is_refused(url: Path) -> None:
    with pytest.raises(RemoteUnreachable, match="no commit yet"):
        newest(follower(url, branch=None))


def _break_objects(mirror: Path) -> None:
    shutil.rmtree(mirror / "objects")


def _garble_objects(mirror: Path) -> None:
    for path in (mirror / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _lose_a_file(mirror: Path) -> None:
    blob = git("rev-parse", f"refs/reconcile/{Remote('/x', 'main').key}:desired-state/apps/hello.yaml", folder=mirror)
    (mirror / "objects" / blob[:2] / blob[2:]).unlink()


def _garble_a_file(mirror: Path) -> None:
    blob = git("rev-parse", f"refs/reconcile/{Remote('/x', 'main').key}:desired-state/apps/hello.yaml", folder=mirror)
    path = mirror / "objects" / blob[:2] / blob[2:]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-10])


def _leave_locks(mirror: Path) -> None:
    (mirror / "shallow.lock").touch()
    for ref in (mirror / "refs/reconcile").iterdir():
        ref.with_name(f"{ref.name}.lock").touch()


def _garble_head(mirror: Path) -> None:
    (mirror / "HEAD").write_bytes(b"\0\xff")


def _garble_config(mirror: Path) -> None:
    (mirror / "config").write_text("[core\n")


def _vanish(mirror: Path) -> None:
    shutil.rmtree(mirror)


def _become_a_file(mirror: Path) -> None:
    shutil.rmtree(mirror)
    mirror.write_text("")


@pytest.mark.parametrize(
    "damage",
    [
        _break_objects,
        _garble_objects,
        _lose_a_file,
        _garble_a_file,
        _leave_locks,
        _garble_head,
        _garble_config,
        _vanish,
        _become_a_file,
    ],
)
@pytest.mark.parametrize("moved", [True, False])
def test_a_damaged_cache_is_rebuilt(author: Author, url: Path, damage: object, moved: bool) -> None:
    commit = author.publish("1")
    mirror = newest(follower(url)).mirror
    damage(mirror)  # type: ignore[operator]
    if moved:
        commit = author.publish("2")
    revision = newest(follower(url))

    assert (revision.commit, version(revision), revision.problem) == (commit, "2" if moved else "1", None)
    assert sorted(path.name for path in mirror.parent.iterdir() if path.suffix == ".git") == ["mirror.git"]


def test_a_damaged_mirror_is_rebuilt_after_forget(author: Author, url: Path) -> None:
    author.publish("1")
    following = follower(url)
    revision = newest(following)
    _break_objects(revision.mirror)
    with pytest.raises(GitError):
        version(revision)
    following.forget()

    assert version(newest(following)) == "1"


def test_a_mirror_that_has_grown_too_large_is_rebuilt(
    author: Author, url: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author.publish("1")
    following = follower(url)
    mirror = newest(following).mirror
    monkeypatch.setattr(remote_module, "_MOST_LOOSE", 0)
    before = mirror.stat().st_ino
    author.publish("2")

    assert (version(newest(following)), mirror.stat().st_ino == before) == ("2", False)


def test_a_repository_that_is_too_large_is_given_up(author: Author, url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (author.folder / "huge").write_bytes(random.Random(0).randbytes(4_000_000))
    author.publish("1")
    monkeypatch.setattr(remote_module, "_WHOLE", Bounds(seconds=30, file_bytes=1_000_000))
    with pytest.raises(RemoteUnreachable):
        newest(follower(url))

    written = sum(path.stat().st_size for path in Path("cache").rglob("*") if path.is_file())
    assert written < 100_000, "and nothing of it is left"


def test_leftovers_of_an_interrupted_fetch_are_removed_with_the_next_commit(author: Author, url: Path) -> None:
    author.publish("1")
    following = follower(url)
    mirror = newest(following).mirror
    (mirror / "objects/pack/tmp_pack_abc").write_bytes(b"x" * 100_000)
    author.publish("2")

    assert (version(newest(following)), list(mirror.glob("objects/pack/tmp_*"))) == ("2", [])


def test_two_controllers_can_follow_the_same_repository(author: Author, url: Path) -> None:
    author.publish("1")

    async def both() -> list[Revision]:
        return await asyncio.gather(*(follower(url).find_newest() for _ in range(4)))

    assert {version(each) for each in asyncio.run(both())} == {"1"}


def test_the_repository_is_only_read(author: Author, url: Path) -> None:
    author.publish("1")
    following = follower(url)
    newest(following)
    author.publish("2")
    before = tree(url)
    newest(following)
    newest(follower(url))

    assert tree(url) == before


def test_only_the_operator_can_read_the_cache(author: Author, url: Path) -> None:
    author.publish("1")
    mirror = newest(follower(url)).mirror

    assert (mirror.parent.stat().st_mode & 0o77) == 0


# ssh and https


def ssh_to_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str = "") -> Path:
    """An ssh stand-in that runs the command here and logs its arguments."""
    script = tmp_path / "ssh"
    script.write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/ssh.log\n{before}\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "ssh.log"


@pytest.mark.parametrize("form", ["ssh://git@forge.example:2222{path}", "git@forge.example:{path}"])
def test_a_repository_is_followed_over_ssh(
    author: Author, url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    log = ssh_to_here(tmp_path, monkeypatch)
    author.publish("1")
    following = follower(form.format(path=url))
    newest(following)
    author.publish("2")

    assert version(newest(following)) == "2"
    assert all("-oBatchMode=yes" in line for line in log.read_text().splitlines())


def test_a_repository_is_followed_over_https(author: Author, url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    author.publish("1")
    with https_server(url.parent) as (address, certificate):
        following = follower(f"{address}/remote.git")
        with pytest.raises(RemoteUnreachable) as refused:
            newest(following)
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        newest(following)
        author.publish("2")
        asked = newest(following)

    assert (version(asked), "certificate" in refused.value.next_step) == ("2", True)


def test_a_login_for_https_comes_from_a_credential_helper(
    author: Author, url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git does not prompt, and the password is in no message."""
    author.publish("1")
    with https_server(url.parent, password="hunter2") as (address, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        with pytest.raises(RemoteUnreachable) as refused:
            newest(follower(f"{address}/remote.git"))
        helper = "!f() { echo username=user; echo password=hunter2; }; f"
        git("config", "--global", "credential.helper", helper, folder=tmp_path)
        revision = newest(follower(f"{address}/remote.git"))

    assert (version(revision), "credential helper" in refused.value.next_step) == ("1", True)


@pytest.mark.parametrize("how", ["GIT_SSH_COMMAND", "core.sshCommand"])
def test_the_ssh_command_of_the_operator_is_used(
    author: Author, url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    log = ssh_to_here(tmp_path, monkeypatch)
    command = f"{tmp_path}/ssh -F /dev/null"
    if how == "GIT_SSH_COMMAND":
        monkeypatch.setenv(how, command)
    else:
        git("config", "--global", how, command, folder=tmp_path)
    author.publish("1")
    newest(follower(f"git@forge.example:{url}"))

    assert {line.partition(" git@")[0] for line in log.read_text().splitlines() if "-G" not in line} == {
        "-F /dev/null -o SendEnv=GIT_PROTOCOL"
    }


def test_a_remote_that_never_answers_is_given_up_and_leaves_no_process(
    url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh_to_here(tmp_path, monkeypatch, before=f"echo $$ >{tmp_path}/pid; trap '' TERM; sleep 1000 & wait; wait")
    monkeypatch.setattr(remote_module, "_TIP", Bounds(seconds=0.5))
    with pytest.raises(RemoteUnreachable, match=r"no answer within 0\.5 s"):
        newest(follower(f"git@forge.example:{url}"))

    with pytest.raises(ProcessLookupError):
        _wait_for_end(int((tmp_path / "pid").read_text()))


def _wait_for_end(pid: int) -> None:
    import time

    for _ in range(100):
        os.kill(pid, 0)
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            raise ProcessLookupError
        time.sleep(0.02)


def test_cancelling_a_fetch_ends_git(url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh_to_here(tmp_path, monkeypatch, before=f"echo $$ >{tmp_path}/pid; sleep 1000")

    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await follower(f"git@forge.example:{url}").find_newest()

    asyncio.run(cancelled())
    with pytest.raises(ProcessLookupError):
        _wait_for_end(int((tmp_path / "pid").read_text()))


def test_output_of_a_remote_cannot_garble_the_terminal_or_fill_memory(
    url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud = r"""i=0; while [ $i -lt 3000 ]; do printf 'fatal: \033[2J\007%0200d\n' $i >&2; i=$((i+1)); done; exit 1"""
    ssh_to_here(tmp_path, monkeypatch, before=loud)
    with pytest.raises(RemoteUnreachable) as refused:
        newest(follower(f"git@forge.example:{url}"))

    assert (str(refused.value).isprintable(), len(str(refused.value)) < 600) == (True, True)


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ("Host key verification failed.", "known_hosts"),
        ("git@forge.example: Permission denied (publickey).", "deploy key"),
        ("fatal: '/x' does not appear to be a git repository", "address"),
    ],
)
def test_a_git_failure_names_the_next_step(
    url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, step: str
) -> None:
    ssh_to_here(tmp_path, monkeypatch, before=f'echo "{said}" >&2; exit 255')
    with pytest.raises(RemoteUnreachable) as refused:
        newest(follower(f"git@forge.example:{url}"))

    assert step in refused.value.next_step


def test_a_login_added_by_the_git_settings_of_the_operator_is_not_shown(
    url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("config", "--global", "url.http://user:hunter2@127.0.0.1:1/.insteadOf", "http://127.0.0.1:2/", folder=tmp_path)
    with pytest.raises(RemoteUnreachable) as refused:
        newest(follower("http://127.0.0.1:2/x.git"))

    assert "hunter2" not in str(refused.value)


# Hostile things


def test_an_address_that_git_rewrites_into_a_program_runs_nothing(tmp_path: Path) -> None:
    git("config", "--global", f"url.ext::touch {tmp_path}/ran .insteadOf", "https://forge.example/", folder=tmp_path)
    git("config", "--global", "protocol.ext.allow", "always", folder=tmp_path)
    with pytest.raises(RemoteUnreachable, match="not allowed"):
        newest(follower("https://forge.example/x.git"))

    assert not (tmp_path / "ran").exists()


def test_hooks_filters_and_submodules_are_never_run(author: Author, url: Path, tmp_path: Path) -> None:
    """Neither those of a git template nor those named by a commit."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction", "post-merge", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    author.publish("1")
    (author.folder / ".gitattributes").write_text("* filter=evil\n")
    (author.folder / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = ext::touch ran\n')
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x", folder=author.folder)
    git("commit", "-qm", "submodule", folder=author.folder)
    author.publish("2")
    for key, value in (
        ("core.hooksPath", str(hooks)),
        ("filter.evil.smudge", f"touch {tmp_path}/ran"),
        ("fetch.recurseSubmodules", "true"),
        ("submodule.recurse", "true"),
    ):
        git("config", "--global", key, value, folder=tmp_path)
    following = follower(url)
    newest(following)
    git("-c", f"core.hooksPath={os.devnull}", "reset", "-q", "--soft", "HEAD", folder=author.folder)

    assert version(newest(following)) == "2"
    assert not (tmp_path / "ran").exists()


def test_the_settings_of_a_home_that_is_a_repository_are_ignored(author: Author, url: Path, tmp_path: Path) -> None:
    author.publish("1")
    git("init", "-q", str(tmp_path), folder=tmp_path)
    git("config", "url./nowhere.insteadOf", str(url), folder=tmp_path)

    assert version(newest(follower(url))) == "1"


@pytest.mark.parametrize(
    "address",
    [
        "https://forge.example/team/servers.git", "https://forge.example:8443/x", "https://[2001:db8::1]/x",
        "ssh://git@forge.example/x.git", "ssh://forge/~me/x", "ssh://git@[::1]:2222/x", "git@forge.example:team/x.git",
        "forge:x", "http://127.0.0.1:8080/x", "http://localhost/x", "https://forge.example/~me/a+b%20c",
    ],
)  # fmt: skip
def test_a_valid_address_is_used_unchanged(address: str) -> None:
    assert read_address(address).url == address


def test_a_folder_is_an_address(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()

    assert {read_address(text).url for text in (str(tmp_path), ".", f"file://{tmp_path}", "x/..")} == {str(tmp_path)}
    assert read_address("./a:b").url == f"{tmp_path}/a:b"


@pytest.mark.parametrize(
    "address",
    [
        "", "-", "--upload-pack=touch x", "-oProxyCommand=touch", "ext::sh -c touch% x", "fd::17", "x::y",
        "remote-x::https://a/b", "https::https://a/b", "ext::", "::x", "EXT::sh", "ssh://-oProxyCommand=touch/x",
        "ssh://git@-oProxyCommand=x/y", "-oProxyCommand=x:y", "git@-oProxyCommand=x:y", "ssh://host/-x",
        "host:-x", "ssh://-l@host/x", "https://user:pw@host/x", "https://token@host/x", "ssh://git:pw@host/x",
        "user:pw@host:x", "https://host/x?token=1", "https://host/x#f", "http://forge.example/x", "git://host/x",
        "ftp://host/x", "gopher://h/x", "https:///x", "https://host", "https://host:0/x", "https://host:99999/x",
        "https://ho st/x", "https://host/a b", "https://host/x\n", "https://a\x00b/x", "https://host/$(id)",
        "ssh://host/x'y", "ssh://host/`id`", "host:x;id", "https://host\\@evil/x", "https://a..b/x",
        "file://host/x", "file://../x", "file:///a/../b", "file:///a%2e", "file:////host/x",
        "https://" + "a" * 2000, "file://~/x", "javascript://x/y", "C:\\x\\y",
    ],
)  # fmt: skip
def test_a_hostile_address_is_refused_before_git_sees_it(address: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_address(address)

    assert refused.value.next_step
    assert all(secret not in f"{refused.value} {refused.value.next_step}" for secret in ("pw@", "token@", ":pw"))


def test_a_file_is_not_a_repository(tmp_path: Path) -> None:
    (tmp_path / "x.bundle").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        read_address("x.bundle")


@pytest.mark.parametrize("name", ["main", "feature/x", "v1.2", "a-b_c", "übung", "refs/heads/main", "a@b", "#1"])
def test_a_branch_is_named(name: str) -> None:
    assert read_branch(name) == name.removeprefix("refs/heads/")


@pytest.mark.parametrize(
    "name",
    ["", "-x", "--all", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "[a", "a\\b", "/a", "a/", "a//b", ".a", "a/.b",
     "a.lock", "a.lock/b", "a.", "@", "a@{1}", "HEAD", "a\nb", "a\x00", "a\x7f", "x" * 300, "refs/heads/-x"],
)  # fmt: skip
def test_an_invalid_branch_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        read_branch(name)


@pytest.mark.parametrize("name", ["/etc", "..", "a/../../b", "a\nb", "a\x00"])
def test_a_folder_outside_the_repository_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        read_folder(name)


# Reading the desired state


def test_a_problem_names_the_file_and_the_commit(author: Author, url: Path) -> None:
    author.commit("../x", name="bad")
    commit = author.publish("1")
    revision = newest(follower(url))
    with pytest.raises(InvalidDesiredState) as refused:
        version(revision)

    problem = refused.value.problems[0]
    assert (problem.file, problem.line, problem.key) == (f"desired-state/apps/bad.yaml@{commit[:7]}", 2, "version")


def test_a_relative_artifact_path_is_refused_with_its_place(author: Author, url: Path) -> None:
    author.commit("1", source="../build/x.tgz", name="one")
    commit = author.publish("1", source="/srv/builds/x.tgz")
    revision = newest(follower(url))
    with pytest.raises(InvalidDesiredState) as refused:
        version(revision)

    (problem,) = refused.value.problems
    assert (problem.file, problem.line, problem.key) == (
        f"desired-state/apps/one.yaml@{commit[:7]}", 3, "artifact.source",
    )  # fmt: skip
    assert "absolute path" in problem.next_step


def test_a_relative_artifact_path_can_start_at_a_given_folder(author: Author, url: Path, tmp_path: Path) -> None:
    author.publish("1", source="x.tgz")
    revision = newest(follower(url))
    desired = load_from(revision.mirror, revision.commit, revision.folder, folder=tmp_path, notes=("a note",))

    assert (desired.folder, desired.revision, desired.notes) == (tmp_path, revision.commit, ("a note",))


def test_a_folder_that_is_not_in_the_commit_is_refused(author: Author, url: Path) -> None:
    commit = author.publish("1")
    revision = newest(follower(url))
    with pytest.raises(GitError, match=f"no folder elsewhere in commit {commit[:7]}"):
        load_from(revision.mirror, commit, PurePosixPath("elsewhere"))


def test_an_emptied_desired_state_is_an_error(author: Author, url: Path) -> None:
    author.publish("1")
    git("rm", "-q", "desired-state/apps/hello.yaml", folder=author.folder)
    (author.folder / "desired-state").mkdir(exist_ok=True)
    (author.folder / "desired-state/README").write_text("")
    git("add", "-A", folder=author.folder)
    git("commit", "-qm", "empty", folder=author.folder)
    author.push()
    revision = newest(follower(url))
    with pytest.raises(InvalidDesiredState, match="there is no app file"):
        version(revision)


def test_the_desired_state_can_be_the_top_folder_of_the_repository(author: Author, url: Path) -> None:
    (author.folder / "apps").mkdir()
    (author.folder / "apps/hello.yaml").write_text(HELLO.format(version="1", source=HTTPS))
    author.publish("2", name="other")

    following = Follower(Remote(str(url), "main", "."))
    assert version(newest(following)) == "1"


def test_a_shallow_history_knows_where_it_was_cut(author: Author, url: Path, tmp_path: Path) -> None:
    commits = [author.publish(str(number)) for number in range(3)]
    git("clone", "-q", "--depth=2", f"file://{url}", "shallow", folder=tmp_path)
    history = asyncio.run(read_history(tmp_path / "shallow", commits[2], "1" * 40))

    assert (dict(history.parents), history.cut) == (
        {commits[2]: (commits[1],), commits[1]: ()}, frozenset({commits[1]}),
    )  # fmt: skip
