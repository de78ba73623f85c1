"""Change the version and `ports: auto` in an app's file and nothing else: comments, quotes and line endings stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.desired_state.files import FLEET, FolderTree, Written, collect
from reconciler.desired_state.free_ports import AUTO, free_ports
from reconciler.desired_state.load import build, label
from reconciler.desired_state.yaml_text import Document, KeyPath, Place, dotted_path, read_valid_yaml
from reconciler.errors import InvalidDesiredState, UsageError
from reconciler.files import write_whole
from reconciler.model.desired import App

VERSION_KEY: KeyPath = ("version",)
SOURCE_KEY: KeyPath = ("artifact", "source")
SHA256_KEY: KeyPath = ("artifact", "sha256")
PORTS_KEY: KeyPath = ("ports",)


_NO_PLACE = "must be on one line of its own to be set"


@dataclass(frozen=True)
class AppText:
    """One app's file as it is on disk, with all other files of the desired state."""

    folder: Path
    name: str
    document: Document
    others: Written

    @property
    def key(self) -> str:
        return f"apps/{self.name}.yaml"

    @property
    def text(self) -> str:
        return self.others.files[self.key].decode("utf-8")

    def value(self, path: KeyPath) -> str | None:
        """The text at this key, or None if there is none or it is not text."""
        node = self.document.value
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node if isinstance(node, str) else None


def open_app(folder: Path, name: str) -> AppText:
    """Open the file of this app. Raises UsageError if there is none, InvalidDesiredState if it is not valid YAML."""
    written = collect(FolderTree(folder), label(folder))
    if f"apps/{name}.yaml" not in written.files:
        if not written.files and written.problems:
            raise InvalidDesiredState(written.problems)
        apps = sorted(Path(path).stem for path in written.files if path.startswith("apps/"))
        raise UsageError(f"there is no app {name!r} in {label(folder)}", f"apps here: {', '.join(apps) or 'none'}")
    file = f"{label(folder)}/apps/{name}.yaml"
    content = written.files[f"apps/{name}.yaml"]
    return AppText(folder, name, read_valid_yaml(content, file), written)


Digest = str | Mapping[str, str]
"""A digest, or one for each architecture."""


def set_version(text: str, version: str, sha256: Digest | None = None, *, file: str = "the file") -> str:
    """Return the text with this version. A digest replaces the present one, or is added after the source.

    Raises UsageError or InvalidDesiredState if the text cannot be edited safely.
    """
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(bom)
    before = read_valid_yaml(text.encode("utf-8"), file)
    changes = [_replacement(before, text, VERSION_KEY, version)]
    if sha256 is not None and SHA256_KEY not in before.places:
        changes.append(_new_digest(before, text, _as_yaml(sha256)))
    elif isinstance(sha256, str):
        changes.append(_replacement(before, text, SHA256_KEY, sha256))
    elif sha256:
        changes += [_replacement(before, text, (*SHA256_KEY, arch), each) for arch, each in sha256.items()]
    edited = text
    for start, end, new in sorted(changes, reverse=True):
        edited = edited[:start] + new + edited[end:]
    _check_only_version_changed(before, read_valid_yaml(edited.encode("utf-8"), file), version, sha256)
    return bom + edited


def _as_yaml(sha256: Digest) -> str:
    if isinstance(sha256, str):
        return sha256
    return "{" + ", ".join(f"{arch}: {each}" for arch, each in sha256.items()) + "}"


def write_version(app: AppText, version: str, sha256: Digest | None = None) -> App:
    """Set the version on disk, after checking that the desired state is valid with it. Return the new app.

    A file of another app that is not valid even by itself is no obstacle: a pass stops at it.
    """
    text = _with_ports(app, set_version(app.text, version, sha256, file=app.document.file))
    files = {**app.others.files, app.key: text.encode("utf-8")}
    try:
        desired = build(Written(files, app.others.problems), app.folder)
    except InvalidDesiredState:
        desired = build(Written(_without_invalid(files, app), app.others.problems), app.folder)
    if text != app.text:
        _write(app.folder / app.key, files[app.key])
    return next(edited for edited in desired.apps if edited.app == app.name)


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


def _new_digest(document: Document, text: str, sha256: str) -> tuple[int, int, str]:
    """The insertion of a digest: beside the source inside `{...}`, else on a line of its own below it."""
    place = _one_line_place(document, text, SOURCE_KEY)
    if document.places[SOURCE_KEY[:1]].form == "flow":
        return place.end, place.end, f", sha256: {sha256}"
    line_end = text.find("\n", place.end)
    new_line = "\r\n" if "\r\n" in text else "\n"
    line = f"{' ' * (place.key_column - 1)}sha256: {sha256}{new_line}"
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


def _check_only_version_changed(before: Document, after: Document, version: str, sha256: Digest | None) -> None:
    """Raise UsageError if anything but the two keys changed, or if YAML reads the version differently."""
    expected = before.value
    if isinstance(expected, dict):
        expected = {**expected, "version": version}
        if sha256 is not None and isinstance(expected.get("artifact"), dict):
            kept = expected["artifact"].get("sha256")
            new = sha256 if isinstance(sha256, str) else {**(kept if isinstance(kept, dict) else {}), **sha256}
            expected["artifact"] = {**expected["artifact"], "sha256": new}
    if after.value != expected:
        raise UsageError(f"{before.file} cannot be edited without changing more than the version", "edit it by hand")


def _write(path: Path, content: bytes) -> None:
    """Replace the file by one rename, keeping its mode and owner. Raises UsageError; the old file is then intact."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "nothing was changed") from error
