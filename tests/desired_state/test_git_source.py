"""Inside a git repository the commit is loaded; uncommitted edits are named and ignored."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from reconciler.desired_state.load import load
from reconciler.errors import GitError, InvalidDesiredState, UsageError

HELLO = "app: hello\nversion: {version}\nartifact: {{source: x.tgz}}\nhosts: [web1]\nports: [4000, 4001]\n"


def git(*words: str, folder: Path | None = None) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(version: str, name: str = "hello", folder: str = "ds") -> Path:
    path = Path(folder) / "apps" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HELLO.format(version=version).replace("hello", name))
    return path


def commit(message: str = "change") -> str:
    git("add", "-A")
    git("commit", "-qm", message, "--allow-empty")
    return git("rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def _repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository with version 1.0 committed, as the current folder."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")
    write("1.0")
    commit()


DS = Path("ds")


def test_the_committed_files_are_loaded_with_their_revision() -> None:
    desired = load(DS)

    assert ([app.version for app in desired.apps], desired.revision) == (["1.0"], git("rev-parse", "HEAD"))
    assert (desired.notes, desired.folder) == ((), DS)
    assert desired.committed_at == float(git("log", "-1", "--format=%ct"))


def test_uncommitted_edits_are_named_and_ignored() -> None:
    """Changed, new, staged and deleted files alike; a broken one causes no error."""
    for name in ("gone", "staged"):
        write("1.0", name=name)
    text = Path("ds/apps/gone.yaml").read_text().replace("4000, 4001", "5000")
    Path("ds/apps/gone.yaml").write_text(text)
    Path("ds/apps/staged.yaml").write_text(text.replace("gone", "staged").replace("5000", "6000"))
    commit()
    write("2.0")
    write("3.0", name="staged")
    git("add", "-A")
    Path("ds/apps/new.yaml").write_text("nonsense: [")
    Path("ds/apps/gone.yaml").unlink()
    desired = load(DS)

    assert {app.app: app.version for app in desired.apps} == {"gone": "1.0", "hello": "1.0", "staged": "1.0"}
    assert desired.notes == (
        "uncommitted edits in ds/apps/gone.yaml, ds/apps/hello.yaml, ds/apps/new.yaml, ds/apps/staged.yaml"
        " are ignored; commit them or pass --working-tree",
    )


def test_working_tree_loads_the_files_on_disk() -> None:
    write("2.0")
    desired = load(DS, working_tree=True)

    assert ([app.version for app in desired.apps], desired.revision, desired.notes) == (["2.0"], None, ())


def test_an_error_in_a_commit_names_the_commit_and_the_uncommitted_edits() -> None:
    """Otherwise a person who fixed the file but did not commit would search forever."""
    write("../x")
    broken = commit()
    write("2.0")
    with pytest.raises(InvalidDesiredState) as refused:
        load(DS)

    assert refused.value.problems[0].file == "ds/apps/hello.yaml"
    assert refused.value.next_step == (
        f"this is commit {broken[:7]}; uncommitted edits in ds/apps/hello.yaml are ignored;"
        " commit them or pass --working-tree"
    )


@pytest.mark.parametrize("ref", ["main", "v1", "HEAD~1", "short"])
def test_a_ref_can_be_any_name_of_a_commit(ref: str) -> None:
    """With an explicit ref no edit is reported as uncommitted."""
    git("tag", "-a", "v1", "-m", "v1")
    first = git("rev-parse", "HEAD")
    git("checkout", "-qb", "next")
    write("2.0")
    commit()
    desired = load(DS, ref=first[:10] if ref == "short" else ref)

    assert (desired.apps[0].version, desired.revision, desired.notes) == ("1.0", first, ())


@pytest.mark.parametrize("ref", ["", "-h", "--upload-pack=x", "a\nb", "nope", "HEAD:ds", "main..main", ":/change^{/x}"])
def test_a_ref_that_names_no_commit_is_refused(ref: str) -> None:
    with pytest.raises(GitError) as refused:
        load(DS, ref=ref)

    assert (refused.value.exit_code, bool(refused.value.next_step)) == (2, True)


def test_a_repository_without_commits_is_refused(tmp_path: Path) -> None:
    git("init", "-q", "empty")
    write("1.0", folder="empty/ds")
    with pytest.raises(GitError, match="has no commit yet") as refused:
        load(Path("empty/ds"))

    assert "--working-tree" in refused.value.next_step


def test_a_folder_that_is_not_in_the_commit_is_refused() -> None:
    write("1.0", folder="other")
    with pytest.raises(GitError, match=r"other is not in commit [0-9a-f]{7}") as refused:
        load(Path("other"))

    assert "git add" in refused.value.next_step


def test_a_committed_folder_without_apps_is_refused() -> None:
    git("rm", "-rq", "ds")
    Path("ds").mkdir()
    Path("ds/README").write_text("")
    commit()

    with pytest.raises(InvalidDesiredState, match="there is no app file"):
        load(DS)


def test_a_folder_missing_on_disk_is_read_from_the_commit() -> None:
    git("rm", "-rq", "--cached", "ds")
    git("reset", "-q")
    Path("ds").rename("away")

    assert load(DS).apps[0].version == "1.0"


def test_a_ref_needs_a_repository(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("plain")
    (folder / "apps").mkdir()
    (folder / "apps" / "hello.yaml").write_text(HELLO.format(version="1.0"))

    assert load(folder).revision is None
    with pytest.raises(GitError, match="not in a git repository"):
        load(folder, ref="main")
    with pytest.raises(UsageError):
        load(DS, ref="main", working_tree=True)


def test_links_modules_and_large_files_of_a_commit_are_refused() -> None:
    Path("ds/apps/link.yaml").symlink_to("hello.yaml")
    Path("ds/apps/big.yaml").write_bytes(b"#" * (3 << 20))
    Path("ds/apps/zz.yml").write_text("")
    git("add", "ds")
    git("update-index", "--add", "--cacheinfo", f"160000,{git('rev-parse', 'HEAD')},ds/apps/module.yaml")
    git("commit", "-qm", "odd")
    with pytest.raises(InvalidDesiredState) as refused:
        load(DS)

    assert [str(problem).partition(";")[0] for problem in refused.value.problems] == [
        "ds/apps/big.yaml  is larger than 1 MiB",
        "ds/apps/link.yaml  is a symbolic link, which is not followed",
        "ds/apps/module.yaml  is not a file",
        "ds/apps/zz.yml  is not read",
    ]


def test_a_linked_apps_folder_in_a_commit_is_refused() -> None:
    Path("ds/apps").rename("real")
    Path("ds/apps").symlink_to("../real")
    commit()

    with pytest.raises(InvalidDesiredState, match=r"apps  is a symbolic link"):
        load(DS)


def test_git_attributes_are_ignored() -> None:
    """`git archive` would leave such files out or rewrite them."""
    Path(".gitattributes").write_text("*.yaml export-ignore export-subst text eol=crlf filter=evil\n")
    commit()

    assert load(DS).apps[0].version == "1.0"


def test_line_endings_changed_by_the_checkout_do_not_count_as_an_edit() -> None:
    path = Path("ds/apps/hello.yaml")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert load(DS).notes == ()


def test_loading_starts_git_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    real = subprocess.Popen

    def counting(*args: object, **named: object) -> object:
        started.append(args)
        return real(*args, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", counting)
    load(DS)
    assert len(started) == 1
    load(DS, working_tree=True)
    assert len(started) == 1


def test_git_variables_in_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a git hook, GIT_DIR and similar variables point at another repository."""
    git("init", "-q", "--bare", "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path / "ds"))

    assert load(DS).apps[0].version == "1.0"


def test_a_worktree_and_a_folder_in_a_folder_work() -> None:
    git("worktree", "add", "-q", "tree", "HEAD")
    write("5.0", folder="deep/er/ds")
    commit()

    assert load(Path("tree/ds")).apps[0].version == "1.0"
    assert load(Path("deep/er/ds")).apps[0].version == "5.0"


def test_the_repository_itself_may_be_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    write("7.0", folder=".")
    commit()
    desired = load(Path())
    monkeypatch.chdir("apps")

    assert (desired.apps[0].version, load(Path("..")).apps[0].version) == ("7.0", "7.0")


def test_a_damaged_repository_is_not_read_as_a_plain_folder() -> None:
    """Fail closed: without git, committed files cannot be told from uncommitted ones."""
    Path(".git/HEAD").write_text("nonsense")

    with pytest.raises(GitError) as refused:
        load(DS)
    assert "--working-tree" in refused.value.next_step


def test_a_missing_git_object_is_named() -> None:
    blob = git("rev-parse", "HEAD:ds/apps/hello.yaml")
    path = Path(".git/objects") / blob[:2] / blob[2:]
    path.chmod(0o600)
    path.unlink()

    with pytest.raises((InvalidDesiredState, GitError), match=r"no such object|cannot read"):
        load(DS)


def test_a_missing_git_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(GitError, match="git cannot be run") as refused:
        load(DS)
    assert "install git" in refused.value.next_step


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user_is_refused_with_the_git_setting_to_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path in (tmp_path, tmp_path / ".git"):
        os.chown(path, 65534, 65534)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)

    with pytest.raises(GitError, match="belongs to another user") as refused:
        load(DS)
    assert refused.value.next_step.endswith(f"--add safe.directory {tmp_path}")
