"""Load the desired state from files or from a commit → `Desired`. Every problem of every file is reported at once.

Inside a git repository the commit counts (HEAD, or `ref`): uncommitted edits are ignored, and a note lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from reconciler.desired_state.files import FLEET, SECRETS, FolderTree, Written, collect, secret_files
from reconciler.desired_state.git.commit import find_repository, open_commit, open_mirror
from reconciler.desired_state.groups import Groups, with_hosts_of_groups
from reconciler.desired_state.per_host import Layers, layers_of, overrides_of_nobody, with_overrides
from reconciler.desired_state.problems import fill
from reconciler.desired_state.rules import AppFile, problems_between
from reconciler.desired_state.yaml_text import Document, read_yaml
from reconciler.errors import GitError, InvalidDesiredState, Problem, UsageError
from reconciler.model.desired import App, Desired, Fleet
from reconciler.model.source import LocalFile, read_source
from reconciler.model.values import PORTS_OF_CLIENTS

_NAMED = 10  # files listed in one note


def load(folder: Path, *, ref: str | None = None, working_tree: bool = False, valid_only: bool = False) -> Desired:
    """Load the desired state in this folder. Raises InvalidDesiredState, GitError or UsageError.

    On an error the caller must not change any host. With `valid_only`, an app whose file is not valid is left out and
    its problems are in `Desired.invalid`, for commands that only look.
    """
    if ref is not None and working_tree:
        raise UsageError("--ref and --working-tree contradict each other", "leave one of them out")
    in_git = find_repository(folder) is not None
    if ref is not None and not in_git:
        raise GitError(f"{folder} is not in a git repository, so there is no {ref}", "leave --ref out")
    if working_tree or not in_git:
        return build(collect(FolderTree(folder), label(folder)), folder, valid_only=valid_only)
    return _load_commit(folder, ref, valid_only)


def load_from(
    mirror: Path,
    commit: str,
    subfolder: PurePosixPath,
    *,
    folder: Path | None = None,
    notes: tuple[str, ...] = (),
    valid_only: bool = False,
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
        desired = build(written, folder or mirror, commit, notes, where=where, beside=beside, valid_only=valid_only)
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


def _load_commit(folder: Path, ref: str | None, valid_only: bool) -> Desired:
    with open_commit(folder, ref) as commit:
        revision, committed_at = commit.id, commit.committed_at
        written = collect(commit, label(folder))
    if written.absent:
        next_step = "git add and commit it, or pass --working-tree"
        raise GitError(f"{label(folder)} is not in commit {revision[:7]}", next_step)
    notes = () if ref else _ignored_edits(written, folder)
    try:
        desired = build(written, folder, revision, notes, valid_only=valid_only)
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
) -> Desired:
    """Build the models from all files. Raises InvalidDesiredState with every problem, sorted by file and line.

    `where` is the folder as errors name it. With `beside` false, relative artifact paths are refused. With
    `valid_only`, only problems of fleet.yaml and of the folder are raised. `memo` spares reading a file twice.
    """
    where = label(folder) if where is None else where
    sealed = secret_files(written)
    plain = {name: content for name, content in written.files.items() if not name.startswith(f"{SECRETS}/")}
    problems = list(written.problems)
    fleet_text = plain.pop(FLEET, None)
    fleet = _read_fleet(read_yaml(fleet_text, f"{where}/{FLEET}") if fleet_text is not None else None, problems)
    read = _read_apps(plain, where, fleet or _Fleet(Fleet(), {}), {} if memo is None else memo)
    files = [file for file, _ in read if file]
    problems += [problem for _, found in read for problem in found]
    files.sort(key=lambda file: file.app.app)
    if fleet:  # without it we do not know which machines the host names mean
        problems += problems_between(files, fleet.model)
    if not beside:
        problems += [problem for file in files if (problem := _relative_artifact(file))]
    invalid = tuple(sorted(set(problems)))
    if not fleet or (invalid and not (valid_only and all(_is_about_an_app(each, where) for each in invalid))):
        raise InvalidDesiredState(invalid)
    apps = tuple(file.app for file in files if file.document.file not in {each.file for each in invalid})
    noted = dict.fromkeys((*notes, *_lost_variables(apps), *_ports_of_clients(apps), *_rootless_notes(fleet.model)))
    return Desired(fleet.model, apps, revision, folder, tuple(noted), secret_files=sealed, invalid=invalid)


def _is_about_an_app(problem: Problem, where: str) -> bool:
    return problem.file.startswith(f"{where}/apps/")


def _variants(apps: tuple[App, ...]) -> list[App]:
    return [variant for app in apps for variant in app.variants]


def _lost_variables(apps: tuple[App, ...]) -> tuple[str, ...]:
    return tuple(
        f"{app.app}: env {', '.join(app.lost_variables)} does not reach the app: "
        "the start script of an Elixir release sets it itself (for other releases write start:)"
        for app in _variants(apps)
        if app.lost_variables
    )


def _ports_of_clients(apps: tuple[App, ...]) -> Iterator[str]:
    """Notes on ports that Linux also gives to outgoing connections."""
    for app in _variants(apps):
        if risky := [port for port in (*app.ports, *app.sandbox.extra_ports) if port in PORTS_OF_CLIENTS]:
            first, last = PORTS_OF_CLIENTS[0], PORTS_OF_CLIENTS[-1]
            yield (
                f"{app.app}: {', '.join(map(str, risky))} can be taken by an outgoing connection of the host just when "
                f"the app starts: Linux gives these the ports {first}–{last}; use one below {first}, or reserve it on "
                "the host (net.ipv4.ip_local_reserved_ports)"
            )


def read_fleet(content: bytes | None, file: str) -> Fleet:
    """Read fleet.yaml alone, without the apps. None (no file) gives an empty fleet. Raises InvalidDesiredState."""
    problems: list[Problem] = []
    fleet = _read_fleet(read_yaml(content, file) if content is not None else None, problems)
    if problems or not fleet:
        raise InvalidDesiredState(tuple(sorted(set(problems))))
    return fleet.model


def _rootless_notes(fleet: Fleet) -> tuple[str, ...]:
    return tuple(
        f"{name}: scope user: all its apps run as one user, and only the sandbox separates them from each other and "
        "from the home; they stop when linger is switched off (docs/rootless.md)"
        for name, host in sorted(fleet.hosts.items())
        if host.scope == "user"
    )


@dataclass(frozen=True)
class _Fleet:
    """The fleet, and its defaults as they were written, which each app's own keys override."""

    model: Fleet
    defaults: Mapping[str, object]


def _read_fleet(document: Document | None, problems: list[Problem]) -> _Fleet | None:
    if document is None or (document.value is None and not document.problems):
        return _Fleet(Fleet(), {})
    model, found = fill(Fleet, document, document.value)
    problems += found
    if model is None or not isinstance(document.value, dict):
        return None
    return _Fleet(model, document.value.get("defaults") or {})


ReadApp = tuple[AppFile | None, tuple[Problem, ...]]
ReadApps = dict[tuple[str, bytes], tuple[object, ReadApp]]
"""What was read from a file of this name and content, with these defaults and groups."""


def _read_apps(files: Mapping[str, bytes], where: str, fleet: _Fleet, memo: ReadApps) -> list[ReadApp]:
    groups = fleet.model.groups
    given = fleet.defaults, groups
    for name, content in files.items():
        if (name, content) not in memo or memo[name, content][0] != given:
            document = with_hosts_of_groups(read_yaml(content, f"{where}/{name}"), groups)
            memo[name, content] = given, _read_app(name, document, fleet.defaults, groups)
    return [memo[name, content][1] for name, content in files.items()]


def _read_app(name: str, document: Document, defaults: Mapping[str, object], groups: Groups) -> ReadApp:
    document = replace(document, value=_with_defaults(document.value, defaults))
    app, found = fill(App, document, document.value)
    if app is None:
        return None, found
    file = AppFile(document, app)
    stem = PurePosixPath(name).stem
    if app.app != stem:
        next_step = f"write app: {stem}, or rename the file to {app.app}.yaml"
        return None, (*found, file.problem(("app",), f"is {app.app}, but the file is {stem}.yaml", next_step))
    return _with_variants(file, groups) if app.overrides else (file, found)


def _with_variants(file: AppFile, groups: Groups) -> ReadApp:
    """The file with the app as it is on each host. Equal layers make one app."""
    app, document = file.app, file.document
    if unused := overrides_of_nobody(document, app.app, app.hosts, groups):
        return None, tuple(unused)
    made: dict[Layers, AppFile] = {}
    by_host: dict[str, AppFile] = {}
    for host in app.hosts:
        layers = layers_of([*app.overrides], host, groups)
        if layers not in made:
            own = with_overrides(document, layers)
            variant, found = fill(App, own, own.value)
            if variant is None:
                return None, found
            made[layers] = AppFile(own, variant)
        by_host[host] = made[layers]
    app.set_variants({host: each.app for host, each in by_host.items()})
    return replace(file, by_host=by_host), ()


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


def _with_defaults(value: object, defaults: Mapping[str, object]) -> object:
    """Merge the app's keys over the fleet's defaults, and `env` key by key.

    An app without ports does not get the default health check: it has no port to ask.
    """
    if not isinstance(value, dict):
        return value
    joined = {key: default for key, default in defaults.items() if key != "health" or value.get("ports")} | value
    own, common = value.get("env"), defaults.get("env")
    if isinstance(common, dict) and (own is None or isinstance(own, dict)):
        joined["env"] = common | (own or {})
    return joined
