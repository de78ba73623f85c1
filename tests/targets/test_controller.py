"""The machine with the keys to all servers cannot be attacked by a commit or by files in a repository.

`TRICKS` are tried on a repository with one reviewed app. Whatever they plant, only the reviewed commit is read, or
nothing, and none of their programs is run.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli import main, read_options
from reconciler.desired_state.git import commit as git_module
from reconciler.desired_state.git.commit import find_repository
from reconciler.desired_state.git.history import is_shallow, read_history, root_commit, why_behind
from reconciler.desired_state.load import load
from reconciler.desired_state.origin import origin_of
from reconciler.errors import GitError, InvalidDesiredState, UsageError
from reconciler.model.machine import HostSpec, Layout
from reconciler.model.options import Options
from reconciler.targets.open_fleet import open_host, work_out

APP = "app: {name}\nversion: '{version}'\nartifact: {{source: x.tgz}}\nhosts: [{host}]\nports: [4000, 4001]\n"
EVIL = ("evil", "6.6.6")
GOOD = ("good", "1.0")
# Every setting of a repository that can name a program which some question of git's would start.
PROGRAMS = """\
[core]
    fsmonitor = {run}
    hooksPath = {hooks}
    sshCommand = {run}
    gitProxy = {run}
    pager = {run}
    editor = {run}
    askPass = {run}
    alternateRefsCommand = {run}
[gpg]
    program = {run}
[gpg "ssh"]
    program = {run}
[log]
    showSignature = true
[diff "x"]
    textconv = {run}
    command = {run}
[diff]
    external = {run}
[filter "x"]
    smudge = {run}
    clean = {run}
    process = {run}
[credential]
    helper = !{run}
[remote "origin"]
    url = ext::{run}
    promisor = true
    partialclonefilter = blob:none
    uploadpack = {run}
[alias]
    cat-file = !{run}
    rev-parse = !{run}
[extensions]
    partialClone = origin
"""


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path, name: str, version: str, host: str = "web1") -> None:
    file = folder / "apps" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(APP.format(name=name, version=version, host=host))


class Attacked:
    """A repository with the reviewed app below `fleet/desired-state`, and an attacker who may plant files in it."""

    def __init__(self, place: Path) -> None:
        self.place, self.top = place, place / "top"
        self.folder = self.top / "fleet/desired-state"
        self.marker = place / "ran"
        self.program = place / "program"
        self.program.write_text(f"#!/bin/sh\ntouch {self.marker}\nexit 0\n")
        self.program.chmod(0o755)
        write(self.folder, *GOOD)
        git(self.top, "init", "-q", "-b", "main")
        self.commit = self.commits()

    def commits(self) -> str:
        git(self.top, "add", "-A")
        git(self.top, "commit", "-qm", "change", "--allow-empty")
        return git(self.top, "rev-parse", "HEAD")

    def programs(self) -> str:
        hooks = self.place / "hooks"
        hooks.mkdir(exist_ok=True)
        for name in (
            "post-checkout",
            "reference-transaction",
            "post-index-change",
            "fsmonitor-watchman",
            "pre-auto-gc",
        ):
            (hooks / name).unlink(missing_ok=True)
            (hooks / name).symlink_to(self.program)
        return PROGRAMS.format(run=self.program, hooks=hooks)

    def embed(self, where: Path, settings: str = "") -> None:
        """A bare repository of ordinary files, with the attacker's app at whatever path is asked for."""
        source = self.place / "source"
        if not source.exists():
            for folder in ("", "fleet/desired-state", "desired-state"):
                write(source / folder, *EVIL)
            git(source, "init", "-q", "-b", "main")
            git(source, "add", "-A")
            git(source, "commit", "-qm", "evil")
        bare = self.place / "bare"
        git(self.place, "clone", "-q", "--bare", str(source), str(bare))
        (bare / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tworktree = .\n" + settings)
        where.mkdir(parents=True, exist_ok=True)
        for each in bare.iterdir():
            each.rename(where / each.name)
        bare.rmdir()


def bare_in_the_folder(at: Attacked) -> None:
    at.embed(at.folder)
    at.commit = at.commits()


def bare_above_the_folder(at: Attacked) -> None:
    at.embed(at.folder.parent)
    at.commit = at.commits()


def bare_above_a_folder_that_is_not_checked_out(at: Attacked) -> None:
    bare_above_the_folder(at)
    (at.folder / "apps/good.yaml").unlink()
    (at.folder / "apps").rmdir()
    at.folder.rmdir()


def bare_beside_the_real_one(at: Attacked) -> None:
    at.embed(at.top)
    at.commit = at.commits()


def bare_beside_a_damaged_one(at: Attacked) -> None:
    bare_beside_the_real_one(at)
    (at.top / ".git/HEAD").unlink()


def bare_with_programs(at: Attacked) -> None:
    at.embed(at.folder, at.programs())
    at.commit = at.commits()


def programs_in_the_real_one(at: Attacked) -> None:
    """As left behind by a clone of somebody else's, or a careless `git config`."""
    settings = at.programs().replace("[extensions]\n    partialClone = origin\n", "")
    with (at.top / ".git/config").open("a") as file:
        file.write(settings)
    (at.top / ".gitattributes").write_text("* diff=x filter=x\n")
    os.truncate(at.top / ".git/index", 0)  # `git status` would want to write it anew


def repository_in_apps(at: Attacked) -> None:
    at.embed(at.folder / "apps/.git")


def link_to_another_repository_in_apps(at: Attacked) -> None:
    at.embed(at.place / "elsewhere")
    (at.folder / "apps/.git").write_text(f"gitdir: {at.place}/elsewhere\n")


def replaced_commit(at: Attacked) -> None:
    write(at.folder, *EVIL)
    evil = at.commits()
    git(at.top, "reset", "-q", "--hard", at.commit)
    git(at.top, "replace", at.commit, evil)


def branch_called_head(at: Attacked) -> None:
    git(at.top, "checkout", "-q", "-b", "other")
    write(at.folder, *EVIL)
    evil = at.commits()
    git(at.top, "checkout", "-q", "main")
    git(at.top, "update-ref", "refs/heads/HEAD", evil)
    git(at.top, "update-ref", f"refs/tags/{at.commit}", evil)


def alternate_reference_in_the_tree(at: Attacked) -> None:
    """`refs` and a HEAD beside the apps, without objects: half a repository."""
    at.embed(at.folder)
    subprocess.run(["rm", "-rf", str(at.folder / "objects")], check=True)
    at.commit = at.commits()


TRICKS: list[Callable[[Attacked], None]] = [
    bare_in_the_folder, bare_above_the_folder, bare_above_a_folder_that_is_not_checked_out, bare_beside_the_real_one,
    bare_beside_a_damaged_one, bare_with_programs, programs_in_the_real_one, repository_in_apps,
    link_to_another_repository_in_apps, replaced_commit, branch_called_head, alternate_reference_in_the_tree,
]  # fmt: skip


@pytest.fixture
def attacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attacked:
    monkeypatch.setenv("HOME", str(tmp_path))
    return Attacked(tmp_path)


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_only_the_reviewed_commit_is_read(attacked: Attacked, trick: Callable[[Attacked], None]) -> None:
    trick(attacked)
    attacked.marker.unlink(missing_ok=True)  # git ran it for the attacker

    try:
        desired = load(attacked.folder)
        found = [(app.app, app.version) for app in desired.apps]
        assert (found, desired.revision) == ([GOOD], attacked.commit)
        repository = find_repository(attacked.folder)
        assert repository == attacked.top
        asyncio.run(_all_other_questions(repository, attacked.commit))
    except GitError:
        assert trick is bare_beside_a_damaged_one
    assert not attacked.marker.exists()


async def _all_other_questions(repository: Path, commit: str) -> None:
    assert not await is_shallow(repository)
    assert len(await root_commit(repository)) == 40
    assert (await read_history(repository, commit)).line(commit)[0] == commit
    assert await why_behind(repository, commit, commit) in ("", f"commit {commit[:7]} is older than {commit[:7]}")


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_SHALLOW_FILE"])
def test_git_variables_of_the_caller_are_ignored(
    attacked: Attacked, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacked.embed(attacked.place / "elsewhere")
    monkeypatch.setenv(variable, str(attacked.place / "elsewhere"))

    assert [app.app for app in load(attacked.folder).apps] == ["good"]
    assert not asyncio.run(is_shallow(attacked.top))


def test_a_nested_repository_is_read_at_its_own_commit(attacked: Attacked) -> None:
    """A clone inside another one, or a submodule that was checked out: only the operator can have put it there."""
    write(attacked.folder, "good", "2.0")
    git(attacked.folder, "init", "-q", "-b", "main")
    git(attacked.folder, "add", "-A")
    git(attacked.folder, "commit", "-qm", "own")

    desired = load(attacked.folder)

    assert ([app.version for app in desired.apps], desired.revision) == (
        ["2.0"],
        git(attacked.folder, "rev-parse", "HEAD"),
    )


def test_a_submodule_is_read_at_its_own_commit(attacked: Attacked) -> None:
    module = attacked.place / "module"
    write(module, "good", "3.0")
    git(module, "init", "-q", "-b", "main")
    git(module, "add", "-A")
    git(module, "commit", "-qm", "module")
    git(attacked.top, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(module), "sub")
    attacked.commits()

    assert load(attacked.top / "sub").revision == git(module, "rev-parse", "HEAD")


def test_git_that_hangs_is_given_up(attacked: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile the event loop runs on: connections to the servers stay alive."""
    (attacked.place / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (attacked.place / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{attacked.place}:{os.environ['PATH']}")
    monkeypatch.setattr(git_module, "LONGEST_SECONDS", 0.5)
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    async def read() -> None:
        beside = asyncio.create_task(turning())
        try:
            await origin_of(arguments(attacked.folder)).read()
        finally:
            beside.cancel()

    began = time.monotonic()
    with pytest.raises(GitError, match="no answer") as refused:
        asyncio.run(read())
    assert "hangs" in refused.value.next_step
    assert time.monotonic() - began < 10
    assert turns > 5


def arguments(folder: Path, *words: str) -> Options:
    return read_options(["--desired-state", str(folder), *words])


LOCAL = {
    "an app's host": ("local", ""),
    "a name for it": ("web1", "hosts: {web1: {address: local}}\n"),
    "as a user": ("web1", "hosts: {web1: {address: local, scope: user}}\n"),
    "its own entry": ("local", "hosts: {local: {address: local}}\n"),
    "a host of no app": ("far", "hosts: {far: {address: 203.0.113.7}, me: {address: local}}\n"),
}


@pytest.mark.parametrize("word", ["", "no", "1", "true", "YES"])
@pytest.mark.parametrize(("host", "fleet"), LOCAL.values(), ids=LOCAL)
def test_a_commit_alone_changes_nothing_on_this_machine(
    tmp_path: Path, host: str, fleet: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILE_ALLOW_LOCAL", word)
    write(tmp_path, "good", "1.0", host)
    (tmp_path / "fleet.yaml").write_text(fleet)

    with pytest.raises(InvalidDesiredState, match="is this very machine") as refused:
        asyncio.run(work_out(load(tmp_path, working_tree=True), None, None))
    (problem,) = refused.value.problems
    assert problem.file.endswith("fleet.yaml" if fleet else "apps/good.yaml")
    assert "RECONCILE_ALLOW_LOCAL=yes" in problem.next_step


@pytest.mark.parametrize("words", [("--once",), ("plan",), ("status",), ("logs", "good"), ("exec", "good", "--", "id")])
def test_no_command_runs_on_this_machine_without_the_operators_permission(
    tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RECONCILE_ALLOW_LOCAL", raising=False)
    write(tmp_path, "good", "1.0", "local")

    assert main(["--desired-state", str(tmp_path), "--working-tree", *words]) == 2
    assert "is this very machine (local)" in capsys.readouterr().err


def test_a_followed_branch_cannot_grant_the_permission(attacked: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECONCILE_ALLOW_LOCAL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(attacked.place / "cache"))
    text = APP.format(name="good", version="1", host="local").replace("x.tgz", "https://example.com/x.tgz")
    (attacked.folder / "apps/good.yaml").write_text(text)
    attacked.commits()

    async def read() -> None:
        desired = await origin_of(arguments(Path("fleet/desired-state"), "--repo", str(attacked.top))).read()
        await work_out(desired, None, None, remote="x")

    with pytest.raises(InvalidDesiredState, match=r"fleet/desired-state/apps/good.yaml"):
        asyncio.run(read())


def test_a_host_named_by_the_operator_needs_the_permission_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor web1`, where fleet.yaml says that web1 is local."""
    monkeypatch.delenv("RECONCILE_ALLOW_LOCAL", raising=False)
    with pytest.raises(UsageError, match="this very machine"):
        open_host("web1", HostSpec(address="local"))


def test_with_the_operators_permission_this_machine_is_a_normal_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILE_ALLOW_LOCAL", "yes")
    write(tmp_path, "good", "1.0", "local")

    opened = asyncio.run(work_out(load(tmp_path, working_tree=True), None, None))
    assert list(opened.hosts) == ["local"]


ALL, PRIVATE = ("env", "state", "releases", "units", "traefik"), ("env", "state")
PATHS = [
    *((key, path) for key in ALL for path in ("/etc", "/usr", "/var", "/home")),
    *((key, path) for key in PRIVATE for path in ("/srv", "/opt", "/var/lib", "/etc/systemd/system", "/usr/share/x")),
    *((key, path) for key in ("env", "units", "releases") for path in ("/etc/ssh", "/proc/1", "/lib/systemd/system")),
    ("traefik", "/etc/systemd/system"), ("units", "/etc/traefik"), ("state", "/root"), ("state", "/run/x"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "path"), PATHS)
def test_a_commit_cannot_hand_over_a_system_folder(tmp_path: Path, key: str, path: str) -> None:
    write(tmp_path, "good", "1.0", "web1")
    (tmp_path / "fleet.yaml").write_text(f"hosts: {{web1: {{address: x, paths: {{{key}: {path}}}}}}}\n")

    with pytest.raises(InvalidDesiredState, match=r"a folder of the system|also the folder|is inside"):
        load(tmp_path, working_tree=True)


@pytest.mark.parametrize(
    ("key", "path"),
    [("releases", "/opt"), ("releases", "/data/apps"), ("state", "/data/reconcile"), ("env", "/opt/reconcile/env"),
     ("units", "/usr/local/lib/systemd/system"), ("units", "/run/systemd/system"), ("traefik", "/etc/traefik/conf.d")],
)  # fmt: skip
def test_dedicated_folders_are_accepted(key: str, path: str) -> None:
    assert getattr(Layout(**{key: path}), key) == path
