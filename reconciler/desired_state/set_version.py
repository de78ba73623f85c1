"""Changing one version in an app's file and nothing else: comments, quotes and line ends stay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reconciler.desired_state.files import FolderTree, Written, collect
from reconciler.desired_state.load import build, label
from reconciler.desired_state.yaml_text import Document, KeyPath, Place, dotted_path, read_valid_yaml
from reconciler.errors import InvalidDesiredState, UsageError
from reconciler.files import write_whole
from reconciler.model.desired import App

VERSION_KEY: KeyPath = ("version",)
SOURCE_KEY: KeyPath = ("artifact", "source")
SHA256_KEY: KeyPath = ("artifact", "sha256")


_NO_PLACE = "has to stand on one line of its own to be set"


@dataclass(frozen=True)
class AppText:
    """One app's file as it lies on disk, with all the other files of the desired state."""

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
        """The text written at that key, or None."""
        node = self.document.value
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node if isinstance(node, str) else None


def open_app(folder: Path, name: str) -> AppText:
    """The file of that app. Raises when there is none, or when it is not the YAML we read."""
    written = collect(FolderTree(folder), label(folder))
    if f"apps/{name}.yaml" not in written.files:
        if not written.files and written.problems:
            raise InvalidDesiredState(written.problems)
        apps = sorted(Path(path).stem for path in written.files if path.startswith("apps/"))
        raise UsageError(f"there is no app {name!r} in {label(folder)}", f"apps here: {', '.join(apps) or 'none'}")
    file = f"{label(folder)}/apps/{name}.yaml"
    content = written.files[f"apps/{name}.yaml"]
    return AppText(folder, name, read_valid_yaml(content, file), written)


def set_version(text: str, version: str, sha256: str | None = None, *, file: str = "the file") -> str:
    """The text with another version. A digest replaces the one that is there, or follows the source."""
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(bom)
    before = read_valid_yaml(text.encode("utf-8"), file)
    changes = [_replacement(before, text, VERSION_KEY, version)]
    if sha256 is not None:
        known = SHA256_KEY in before.places
        changes.append(_replacement(before, text, SHA256_KEY, sha256) if known else _new_digest(before, text, sha256))
    edited = text
    for start, end, new in sorted(changes, reverse=True):
        edited = edited[:start] + new + edited[end:]
    _check_only_version_changed(before, read_valid_yaml(edited.encode("utf-8"), file), version, sha256)
    return bom + edited


def write_version(app: AppText, version: str, sha256: str | None = None) -> App:
    """Sets the version on disk, once the desired state with it is proven sound; the app as it is then."""
    text = set_version(app.text, version, sha256, file=app.document.file)
    files = {**app.others.files, app.key: text.encode("utf-8")}
    desired = build(Written(files, app.others.problems), app.folder)
    if text != app.text:
        _write(app.folder / app.key, files[app.key])
    return next(each for each in desired.apps if each.app == app.name)


def _replacement(document: Document, text: str, path: KeyPath, new: str) -> tuple[int, int, str]:
    place = _one_line_place(document, text, path)
    quote = text[place.start] if place.form == "quoted" else '"' if new.lower() == "null" else ""
    space = " " if place.start == place.end else ""  # nothing there yet: this is right after the colon
    return place.start, place.end, f"{space}{quote}{new}{quote}"


def _new_digest(document: Document, text: str, sha256: str) -> tuple[int, int, str]:
    """Beside the source in `{...}`, else on a line of its own below it."""
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


def _check_only_version_changed(before: Document, after: Document, version: str, sha256: str | None) -> None:
    """Nothing but the two keys may have changed. A version that YAML reads differently ends here, too."""
    wanted = before.value
    if isinstance(wanted, dict):
        wanted = {**wanted, "version": version}
        if sha256 is not None and isinstance(wanted.get("artifact"), dict):
            wanted["artifact"] = {**wanted["artifact"], "sha256": sha256}
    if after.value != wanted:
        raise UsageError(f"{before.file} cannot be edited without changing more than the version", "edit it by hand")


def _write(path: Path, content: bytes) -> None:
    """One rename, with the mode and owner of the old file. Raises UsageError."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "nothing was changed") from error
