"""Change the version and `ports: auto` of an app in the text of a file and nothing else: comments, quotes and line
endings stay. The file is that of the app, or that of an environment, where the app has a block of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.desired_state.environments import environment_file, find_environment
from reconciler.desired_state.files import FLEET, FolderTree, Written, collect
from reconciler.desired_state.free_ports import AUTO, free_ports
from reconciler.desired_state.load import build, label
from reconciler.desired_state.yaml_text import Document, KeyPath, Place, dotted_path, read_valid_yaml
from reconciler.errors import InvalidDesiredState, UsageError
from reconciler.files import write_whole
from reconciler.model.desired import App
from reconciler.model.environment import PRODUCTION

VERSION_KEY: KeyPath = ("version",)
SOURCE_KEY: KeyPath = ("artifact", "source")
SHA256_KEY: KeyPath = ("artifact", "sha256")
PORTS_KEY: KeyPath = ("ports",)


_NO_PLACE = "must be on one line of its own to be set"


@dataclass(frozen=True)
class AppText:
    """The file with an app's version as it is on disk, with all other files of the desired state."""

    folder: Path
    name: str
    document: Document
    others: Written
    environment: str = ""
    of_app: Document | None = None  # in an environment: the app's own file

    @property
    def key(self) -> str:
        return environment_file(self.environment) if self.environment else f"apps/{self.name}.yaml"

    @property
    def at(self) -> KeyPath:
        """The path of the app's block in the file."""
        return ("apps", self.name) if self.environment else ()

    @property
    def text(self) -> str:
        return self.others.files[self.key].decode("utf-8")

    @property
    def name_there(self) -> str:
        """The name that the app has on hosts."""
        return _text_at(self.document, (*self.at, "app")) or self.name

    @property
    def pins_digest(self) -> bool:
        """True if the app's artifact has a digest: in this file, or in an environment that of the app's own file."""
        documents = [self.document] if self.of_app is None else [self.document, self.of_app]
        return (*self.at, *SHA256_KEY) in self.document.places or SHA256_KEY in documents[-1].places

    def value(self, path: KeyPath) -> str | None:
        """The text at this key of the app, or None if there is none or it is not text."""
        found = _text_at(self.document, (*self.at, *path))
        return found if found is not None or self.of_app is None else _text_at(self.of_app, path)


def _text_at(document: Document, path: KeyPath) -> str | None:
    node = document.value
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    return node if isinstance(node, str) else None


def open_app(folder: Path, name: str, environment: str = "") -> AppText:
    """Open the file that says which version of this app is wanted: its own, or that of an environment.

    Raises UsageError if the app is not there, InvalidDesiredState if the file is not valid YAML.
    """
    if environment not in ("", PRODUCTION):
        return _open_in_environment(folder, name, environment)
    written = collect(FolderTree(folder), label(folder))
    if f"apps/{name}.yaml" not in written.files:
        if not written.files and written.problems:
            raise InvalidDesiredState(written.problems)
        apps = sorted(Path(path).stem for path in written.files if path.startswith("apps/"))
        raise UsageError(f"there is no app {name!r} in {label(folder)}", f"apps here: {', '.join(apps) or 'none'}")
    file = f"{label(folder)}/apps/{name}.yaml"
    content = written.files[f"apps/{name}.yaml"]
    return AppText(folder, name, read_valid_yaml(content, file), written)


def _open_in_environment(folder: Path, name: str, environment: str) -> AppText:
    written = collect(FolderTree(folder), label(folder))
    content = find_environment(written.files, environment, label(folder))
    file = f"{label(folder)}/{environment_file(environment)}"
    document = read_valid_yaml(content, file)
    apps = document.value.get("apps") if isinstance(document.value, dict) else None
    blocks = apps if isinstance(apps, dict) else {}
    renamed = (key for key, block in blocks.items() if isinstance(block, dict) and block.get("app") == name)
    name = name if name in blocks else next(renamed, name)
    own = written.files.get(f"apps/{name}.yaml")
    if name not in blocks or own is None:
        raise UsageError(f"{environment} has no app {name!r}", f"write it below apps: in {file}")
    of_app = read_valid_yaml(own, f"{label(folder)}/apps/{name}.yaml")
    return AppText(folder, name, document, written, environment, of_app)


Digest = str | Mapping[str, str]
"""A digest, or one for each architecture."""


def declared_in(app: AppText, environment: str) -> tuple[str, Digest | None]:
    """Return the version that an environment declares, and its digest if that is written and of the same source.

    Raises UsageError if the app is not there, InvalidDesiredState if the environment is not valid.
    """
    there = open_app(app.folder, app.name, environment)
    desired = build(app.others, app.folder, environment=environment)
    found = next(each for each in desired.apps if each.app == there.name_there)
    if there.value(SOURCE_KEY) != app.value(SOURCE_KEY):
        return found.version, None
    digest: Digest | None = found.artifact.model_dump()["sha256"]
    return found.version, digest


def set_version(
    text: str, version: str, sha256: Digest | None = None, *, file: str = "the file", at: KeyPath = ()
) -> str:
    """Return the text with this version of the app whose block is `at` this path.

    A digest replaces the present one, or is added after the source, or where there is none after the version.

    Raises UsageError or InvalidDesiredState if the text cannot be edited safely.
    """
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(bom)
    before = read_valid_yaml(text.encode("utf-8"), file)
    changes = [_replacement(before, text, (*at, *VERSION_KEY), version)]
    digest_key = (*at, *SHA256_KEY)
    if sha256 is not None and digest_key not in before.places:
        changes.append(_new_digest(before, text, _as_yaml(sha256), at))
    elif isinstance(sha256, str):
        changes.append(_replacement(before, text, digest_key, sha256))
    elif sha256:
        changes += [_replacement(before, text, (*digest_key, arch), each) for arch, each in sha256.items()]
    edited = text
    for start, end, new in sorted(changes, reverse=True):
        edited = edited[:start] + new + edited[end:]
    _check_only_version_changed(before, read_valid_yaml(edited.encode("utf-8"), file), version, sha256, at)
    return bom + edited


def _as_yaml(sha256: Digest) -> str:
    if isinstance(sha256, str):
        return sha256
    return "{" + ", ".join(f"{arch}: {each}" for arch, each in sha256.items()) + "}"


def write_version(app: AppText, version: str, sha256: Digest | None = None) -> App:
    """Set the version on disk, after checking that the desired state is valid with it. Return the new app.

    A file of another app that is not valid even by itself is no obstacle: a pass stops at it.
    """
    text = set_version(app.text, version, sha256, file=app.document.file, at=app.at)
    text = text if app.environment else _with_ports(app, text)
    files = {**app.others.files, app.key: text.encode("utf-8")}
    try:
        desired = build(Written(files, app.others.problems), app.folder, environment=app.environment)
    except InvalidDesiredState:
        if app.environment:
            raise
        desired = build(Written(_without_invalid(files, app), app.others.problems), app.folder)
    if text != app.text:
        _write(app.folder / app.key, files[app.key])
    return next(edited for edited in desired.apps if edited.app == app.name_there)


def _without_invalid(files: Mapping[str, bytes], app: AppText) -> dict[str, bytes]:
    """The files without those of other apps that are not valid by themselves."""

    def is_valid(name: str) -> bool:
        own = {key: content for key, content in files.items() if key in (name, FLEET)}
        try:
            build(Written(own), app.folder)
        except InvalidDesiredState:
            return False
        return True

    others = [name for name in files if name.startswith("apps/") and name != app.key]
    invalid = {name for name in others if not is_valid(name)}
    return {name: content for name, content in files.items() if name not in invalid}


def _with_ports(app: AppText, text: str) -> str:
    """Return the text with two free ports in place of `ports: auto`."""
    if app.value(PORTS_KEY) != AUTO:
        return text
    place = _one_line_place(
        read_valid_yaml(text.encode("utf-8"), app.document.file), text.removeprefix("\ufeff"), PORTS_KEY
    )
    first, second = free_ports(app.others.files, but=app.key)
    start = place.start + text.startswith("\ufeff")
    return f"{text[:start]}[{first}, {second}]{text[start + place.end - place.start :]}"


def _replacement(document: Document, text: str, path: KeyPath, new: str) -> tuple[int, int, str]:
    place = _one_line_place(document, text, path)
    quote = text[place.start] if place.form == "quoted" else '"' if new.lower() == "null" else ""
    space = " " if place.start == place.end else ""  # the value is empty: this is right after the colon
    return place.start, place.end, f"{space}{quote}{new}{quote}"


def _new_digest(document: Document, text: str, sha256: str, at: KeyPath) -> tuple[int, int, str]:
    """The insertion of a digest: beside the source inside `{...}`, else on a line of its own below it.

    An environment that says nothing of the artifact gets it beside or below the version.
    """
    key, digest = (*at, *SOURCE_KEY), f"sha256: {sha256}"
    if at and (*at, "artifact") not in document.places:
        key, digest = (*at, *VERSION_KEY), f"artifact: {{sha256: {sha256}}}"
    place = _one_line_place(document, text, key)
    if document.places[key[:-1]].form == "flow":
        return place.end, place.end, f", {digest}"
    line_end = text.find("\n", place.end)
    new_line = "\r\n" if "\r\n" in text else "\n"
    line = f"{' ' * (place.key_column - 1)}{digest}{new_line}"
    if line_end < 0:
        return len(text), len(text), new_line + line
    return line_end + 1, line_end + 1, line


def _one_line_place(document: Document, text: str, path: KeyPath) -> Place:
    place = document.places.get(path)
    if place is None:
        raise UsageError(f"{document.file} has no {dotted_path(path)}", "add it by hand")
    if place.form not in ("plain", "quoted") or "\n" in text[place.start : place.end]:
        raise UsageError(
            f"{document.file}:{place.line}: {dotted_path(path)} {_NO_PLACE}", f"write {path[-1]}: and the text"
        )
    return place


def _check_only_version_changed(
    before: Document, after: Document, version: str, sha256: Digest | None, at: KeyPath
) -> None:
    """Raise UsageError if anything but the two keys changed, or if YAML reads the version differently."""
    if after.value != _expected(before.value, version, sha256, at):
        raise UsageError(f"{before.file} cannot be edited without changing more than the version", "edit it by hand")


def _expected(value: object, version: str, sha256: Digest | None, at: KeyPath) -> object:
    """The document with the two keys changed in the block at this path."""
    if not isinstance(value, dict):
        return value
    if at:
        return {**value, at[0]: _expected(value.get(at[0]), version, sha256, at[1:])}
    expected = {**value, "version": version}
    artifact = expected.get("artifact", {})
    if sha256 is not None and isinstance(artifact, dict):
        kept = artifact.get("sha256")
        new = sha256 if isinstance(sha256, str) else {**(kept if isinstance(kept, dict) else {}), **sha256}
        expected["artifact"] = {**artifact, "sha256": new}
    return expected


def _write(path: Path, content: bytes) -> None:
    """Replace the file by one rename, keeping its mode and owner. Raises UsageError; the old file is then intact."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "nothing was changed") from error
