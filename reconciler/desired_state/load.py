"""Load the desired state from files or from a commit → `Desired`. Every problem of every file is reported at once.

Inside a git repository the commit counts (HEAD, or `ref`): uncommitted edits are ignored, and a note lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from reconciler.desired_state.environments import environments_in
from reconciler.desired_state.files import ENVIRONMENTS, SECRETS, FolderTree, Written, collect, secret_files
from reconciler.desired_state.git.commit import find_repository, open_commit, open_mirror
from reconciler.desired_state.notes import notes_on
from reconciler.desired_state.parts import ReadApps, read_parts
from reconciler.desired_state.parts import read_fleet as read_fleet_part
from reconciler.desired_state.rules import AppFile
from reconciler.desired_state.yaml_text import read_yaml
from reconciler.errors import GitError, InvalidDesiredState, Problem, UsageError
from reconciler.model.desired import Desired, Fleet
from reconciler.model.environment import PRODUCTION
from reconciler.model.source import LocalFile, read_source

_NAMED = 10  # files listed in one note


def load(
    folder: Path,
    *,
    ref: str | None = None,
    working_tree: bool = False,
    valid_only: bool = False,
    environment: str = "",
) -> Desired:
    """Load the desired state in this folder, or an environment of it. Raises InvalidDesiredState, GitError, UsageError.

    On an error the caller must not change any host. With `valid_only`, an app whose file is not valid is left out and
    its problems are in `Desired.invalid`, for commands that only look.
    """
    if ref is not None and working_tree:
        raise UsageError("--ref and --working-tree contradict each other", "leave one of them out")
    in_git = find_repository(folder) is not None
    if ref is not None and not in_git:
        raise GitError(f"{folder} is not in a git repository, so there is no {ref}", "leave --ref out")
    if working_tree or not in_git:
        written = collect(FolderTree(folder), label(folder))
        return build(written, folder, valid_only=valid_only, environment=environment)
    return _load_commit(folder, ref, valid_only, environment)


def read_written(folder: Path, ref: str | None = None, *, working_tree: bool = False) -> Written:
    """Read the files that `load` would load, by their names without `secrets/`. Raises GitError or UsageError."""
    if working_tree or find_repository(folder) is None:
        written = collect(FolderTree(folder), label(folder))
    else:
        with open_commit(folder, ref) as commit:
            written = collect(commit, label(folder))
    if written.absent:
        raise InvalidDesiredState(written.problems)
    plain = {name: content for name, content in written.files.items() if not name.startswith(f"{SECRETS}/")}
    return replace(written, files=plain)


def load_from(
    mirror: Path,
    commit: str,
    subfolder: PurePosixPath,
    *,
    folder: Path | None = None,
    notes: tuple[str, ...] = (),
    valid_only: bool = False,
    environment: str = "",
) -> Desired:
    """Load the desired state from a commit in a bare mirror. Raises InvalidDesiredState or GitError.

    Problems name a file as `apps/x.yaml@<commit>`. Relative artifact paths start at `folder`; without `folder` there
    is no checkout that they could point into, and they are refused.
    """
    with open_mirror(mirror, commit, subfolder) as tree:
        written, committed_at = collect(tree, subfolder.as_posix()), tree.committed_at
    if written.absent:
        problem = f"there is no folder {subfolder} in commit {commit[:7]} of the remote repository"
        raise GitError(problem, "name the right one with --desired-state, or commit it")
    try:
        where, beside = subfolder.as_posix(), folder is not None
        desired = build(
            written,
            folder or mirror,
            commit,
            notes,
            where=where,
            beside=beside,
            valid_only=valid_only,
            environment=environment,
        )
        invalid = _at_commit(desired.invalid, commit)
        return replace(desired, committed_at=committed_at, mirror=mirror, inside=subfolder.as_posix(), invalid=invalid)
    except InvalidDesiredState as error:
        refused = InvalidDesiredState(_at_commit(error.problems, commit))
        refused.revision = commit
        raise refused from None


def _at_commit(problems: tuple[Problem, ...], commit: str) -> tuple[Problem, ...]:
    return tuple(replace(problem, file=f"{problem.file}@{commit[:7]}") for problem in problems)


def label(folder: Path) -> str:
    """The folder as errors name it: as it was typed, or relative to the working directory if it is below that."""
    try:
        return folder.relative_to(Path.cwd()).as_posix() if folder.is_absolute() else folder.as_posix()
    except (ValueError, OSError):
        return folder.as_posix()


def _load_commit(folder: Path, ref: str | None, valid_only: bool, environment: str) -> Desired:
    with open_commit(folder, ref) as commit:
        revision, committed_at = commit.id, commit.committed_at
        written = collect(commit, label(folder))
    if written.absent:
        next_step = "git add and commit it, or pass --working-tree"
        raise GitError(f"{label(folder)} is not in commit {revision[:7]}", next_step)
    notes = () if ref else _ignored_edits(written, folder)
    try:
        desired = build(written, folder, revision, notes, valid_only=valid_only, environment=environment)
        return replace(desired, committed_at=committed_at)
    except InvalidDesiredState as error:
        error.next_step = "; ".join((f"this is commit {revision[:7]}", *notes))
        error.revision = revision
        raise


def _ignored_edits(committed: Written, folder: Path) -> tuple[str, ...]:
    """A note that lists the files that differ on disk. Line endings may differ: git can convert them on checkout."""
    on_disk = collect(FolderTree(folder), label(folder)).files
    names = sorted(
        name
        for name in committed.files.keys() | on_disk.keys()
        if _lines(committed.files.get(name)) != _lines(on_disk.get(name))
    )
    if not names:
        return ()
    listed = ", ".join(f"{label(folder)}/{name}" for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (f"uncommitted edits in {listed}{more} are ignored; commit them or pass --working-tree",)


def _lines(content: bytes | None) -> bytes | None:
    return content.replace(b"\r\n", b"\n") if content is not None else None


def build(
    written: Written,
    folder: Path,
    revision: str | None = None,
    notes: tuple[str, ...] = (),
    *,
    where: str | None = None,
    beside: bool = True,
    valid_only: bool = False,
    memo: ReadApps | None = None,
    environment: str = "",
) -> Desired:
    """Build the models from all files. Raises InvalidDesiredState with every problem, sorted by file and line.

    `where` is the folder as errors name it. With `beside` false, relative artifact paths are refused. With
    `valid_only`, only problems of fleet.yaml, of the environment and of the folder are raised. `memo` spares reading a
    file twice.
    """
    where = label(folder) if where is None else where
    sealed = secret_files(written)
    plain = {name: content for name, content in written.files.items() if not name.startswith(f"{SECRETS}/")}
    parts = read_parts(plain, where, environment, memo)
    problems = [*_of_this(environment, written.problems, where), *parts.problems]
    if not beside:
        problems += [problem for file in parts.files if (problem := _relative_artifact(file))]
    invalid = tuple(sorted(set(problems)))
    if not parts.fleet or (invalid and not (valid_only and all(_is_about_an_app(each, where) for each in invalid))):
        raise InvalidDesiredState(invalid)
    apps = tuple(file.app for file in parts.files if file.document.file not in {each.file for each in invalid})
    fleet = parts.fleet.model
    return Desired(
        fleet,
        apps,
        revision,
        folder,
        (*notes, *notes_on(apps, fleet)),
        secret_files=sealed,
        environment="" if environment == PRODUCTION else environment,
        environments=tuple(environments_in(plain)),
        base_owner=parts.base_owner,
        invalid=invalid,
    )


def _of_this(environment: str, problems: tuple[Problem, ...], where: str) -> Iterator[Problem]:
    """Yield the problems with files that this environment is made of. A mistake in another one does not stop it."""
    for problem in problems:
        inside = problem.file.removeprefix(f"{where}/")
        of_another = inside.startswith(ENVIRONMENTS) and not inside.startswith(f"{ENVIRONMENTS}/{environment}.")
        if not of_another or (environment and inside == ENVIRONMENTS):
            yield problem


def _is_about_an_app(problem: Problem, where: str) -> bool:
    return problem.file.startswith(f"{where}/apps/")


def read_fleet(content: bytes | None, file: str) -> Fleet:
    """Read fleet.yaml alone, without the apps. None (no file) gives an empty fleet. Raises InvalidDesiredState."""
    problems: list[Problem] = []
    fleet = read_fleet_part(read_yaml(content, file) if content is not None else None, problems)
    if problems or not fleet:
        raise InvalidDesiredState(tuple(sorted(set(problems))))
    return fleet.model


def _relative_artifact(file: AppFile) -> Problem | None:
    place = read_source(file.app.artifact.source, file.app.version)
    if not isinstance(place, LocalFile) or place.path.startswith("/"):
        return None
    message = "is a relative path, but only the desired-state folder of a remote repository is read"
    return file.problem(
        ("artifact", "source"),
        message,
        "publish it and write its address (https://, github:, s3://, oci://), or write an absolute path",
    )
