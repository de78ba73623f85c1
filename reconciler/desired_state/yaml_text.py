"""YAML text → a tree with the place of every key and value. No type is guessed: text stays text.

Only a plain subset of YAML is accepted. Aliases, anchors, tags, merge keys and duplicate keys can make a file mean
something other than it seems to; each is refused, with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import yaml

from reconciler.errors import InvalidDesiredState, Problem

KeyPath = tuple[str | int, ...]

LARGEST_FILE = 1 << 20
DEEPEST = 20
MOST_PROBLEMS = 100  # per file: with more, the file is not desired state at all
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_PLAIN_SPACE = "type a plain space; text from a web page may have others"
# The characters that YAML calls non-printable. A BOM is one of them only inside the text.
_CONTROL = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
_CONTROL_OF_ASCII = "[^\t\n\r\x20-\x7e]"  # the same; the other one takes long to compile


class Place(NamedTuple):
    """The place of a key and its value. Lines and columns count from 1; `start` and `end` are the value's offsets."""

    key_line: int
    key_column: int
    line: int
    column: int
    start: int
    end: int
    form: str  # plain, quoted, folded (| and >), block or flow
    file: str = ""  # the file, if it is not that of the document
    path: KeyPath | None = None  # the key as it is written there, if that is not the key in the document


@dataclass(frozen=True)
class Document:
    """One file as it was written. It may be used only if `problems` is empty."""

    file: str
    value: object = None
    places: Mapping[KeyPath, Place] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    refused: frozenset[KeyPath] = frozenset()

    def problem(
        self, path: KeyPath, message: str, next_step: str, *, below: KeyPath = (), at_key: bool = False
    ) -> Problem:
        """A problem with what is written at this path, or with a key `below` it that is not written."""
        place = self.places[path]
        key = dotted_path((*(path if place.path is None else place.path), *below))
        at = (place.key_line, place.key_column) if at_key else (place.line, place.column)
        return Problem(place.file or self.file, *at, key, message, next_step)


class Mark(Protocol):
    """A place in the text as either of PyYAML's parsers reports it, counted from 0."""

    line: int
    column: int
    index: int


class _Unreadable(Exception):
    """The rest of the document cannot be read."""


def dotted_path(path: KeyPath) -> str:
    """Return the path as errors name it: `env.KEY`, `ports[0]`. Long parts are cut, unprintable ones are escaped."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{_word(part)}" for part in path)
    return "".join(parts).removeprefix(".")


def _word(part: str) -> str:
    part = part if len(part) <= 60 else f"{part[:57]}..."
    return part if part.isprintable() else ascii(part)


def read_yaml(content: bytes, file: str, *, pure: bool = False) -> Document:
    """Read one YAML document. Never raises: everything that is refused is in `problems`.

    `pure` selects PyYAML's parser in Python, which is also used where libyaml is missing. The two parsers agree on
    every text that both accept; a few texts with odd tabs are accepted by only one of them.
    """
    text, problem = _decode(content, file)
    if problem:
        return Document(file, problems=(problem,))
    reader = _Reader(file, text)
    parser = yaml.BaseLoader if pure or not yaml.__with_libyaml__ else yaml.CBaseLoader
    value: object = None
    try:
        value = reader.document(yaml.parse(text, Loader=parser))
    except _Unreadable:
        value = None
    except yaml.MarkedYAMLError as error:
        problem = _syntax_problem(error, text, file)
        here = (problem.line, problem.column)
        reader.problems = [*(found for found in reader.problems if (found.line, found.column) != here), problem]
    except (yaml.YAMLError, RecursionError) as error:
        reader.problems.append(Problem(file, 0, 0, "", f"is not YAML: {error}", "rewrite the file"))
    return Document(file, value, reader.places, tuple(reader.problems), frozenset(reader.refused))


def read_valid_yaml(content: bytes, file: str) -> Document:
    """Read one YAML document that the caller wants to edit. Raises InvalidDesiredState if anything is refused."""
    document = read_yaml(content, file)
    if document.problems:
        raise InvalidDesiredState(document.problems)
    return document


def _decode(content: bytes, file: str) -> tuple[str, Problem | None]:
    if len(content) > LARGEST_FILE:
        return "", Problem(file, 0, 0, "", "is larger than 1 MiB", "desired state is short text; split the file")
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = len(content[: error.start].rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        return "", Problem(file, line, column, "", "is not UTF-8 text", "save the file as UTF-8")
    if found := re.search(_CONTROL_OF_ASCII if text.isascii() else _CONTROL, text):
        line, column = (
            text.count("\n", 0, found.start()) + 1,
            found.start() - text.rfind("\n", 0, found.start()),
        )
        message = f"contains the character U+{ord(found[0]):04X}, which YAML does not allow"
        return "", Problem(file, line, column, "", message, r'delete it, or write it as an escape such as "\x1b"')
    return text, None


class _Reader:
    """Builds the tree from parser events and notes the place of each node."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.places: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []
        self.refused: set[KeyPath] = set()

    def document(self, events: Iterator[yaml.Event]) -> object:
        value: object = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, (), "a second document starts here", "use one file for each app")
                    raise _Unreadable
            elif isinstance(event, yaml.NodeEvent):
                value = self._node(event, events, (), None)
        return value

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], path: KeyPath, key: yaml.Event | None) -> object:
        if len(path) > DEEPEST:
            self._refuse(event, path, f"is nested deeper than {DEEPEST} levels", "no key is nested that deep")
            raise _Unreadable
        self.places[path] = _place(event, key, self.text)
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, path, "aliases (*name) are not allowed", "write the value out")
            return None
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            self._refuse(event, path, "anchors (&name) are not allowed", "write the value out at each place")
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag:
            self._refuse(
                event, path, "tags (!name) are not allowed", "delete the tag; text that begins with ! needs quotes"
            )
        if isinstance(event, yaml.ScalarEvent):
            if not event.style and "\t" in event.value:  # the two parsers differ here
                self._refuse(event, path, "contains a tab", "use a space, or put the value into quotes")
            return None if not event.style and event.value in _NULLS else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(events, path)
        block = self._block(events, path)
        if block == {"version": None} and self.places[path].form == "flow":
            self._refuse(event, path, "{version} alone needs quotes", 'write "{version}"')
        return block

    def _list(self, events: Iterator[yaml.Event], path: KeyPath) -> list[object]:
        items: list[object] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, events, (*path, len(items)), None))
        return items

    def _block(self, events: Iterator[yaml.Event], path: KeyPath) -> dict[str, object]:
        block: dict[str, object] = {}
        for key in events:
            if isinstance(key, yaml.MappingEndEvent):
                break
            name = self._key(key, path)
            duplicate = name in block
            if duplicate:
                first = self.places[(*path, name)].key_line
                self._refuse(key, (*path, name), "is a duplicate key", f"keep this one or the one in line {first}")
            value = self._node(next(events), events, (*path, f"{name} (again)" if duplicate else name), key)
            block.setdefault(name, value)
        return block

    def _key(self, event: yaml.Event, path: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(event, path, "a key must be plain text", "start the line with the name of a key")
            raise _Unreadable
        if event.anchor or event.tag:
            message = "anchors and tags are not allowed"
            self._refuse(event, (*path, event.value), message, "delete what is before the key")
        if not event.style and event.value in _NULLS:
            self._refuse(
                event,
                (*path, event.value),
                "a key is missing here",
                "write the name of a key before the colon",
            )
        if not event.style and "\xa0" in event.value:
            self._refuse(event, (*path, event.value), "there is a no-break space here", _PLAIN_SPACE)
        if not event.style and event.value == "<<":
            self._refuse(
                event,
                (*path, "<<"),
                "merge keys are not allowed",
                "write the keys out, or use defaults: in fleet.yaml",
            )
        return str(event.value)

    def _refuse(self, event: yaml.Event, path: KeyPath, message: str, next_step: str = "") -> None:
        mark = _start(event)
        self.problems.append(Problem(self.file, mark.line + 1, mark.column + 1, dotted_path(path), message, next_step))
        self.refused.add(path)
        if len(self.problems) >= MOST_PROBLEMS:
            raise _Unreadable


def _start(event: yaml.Event) -> Mark:
    assert event.start_mark is not None  # both parsers always set it
    return event.start_mark


def _end(event: yaml.Event) -> int:
    assert event.end_mark is not None
    return event.end_mark.index


def _place(event: yaml.Event, key: yaml.Event | None, text: str) -> Place:
    start, end = _start(event), _end(event)
    at = _start(key) if key else start
    form = "block"
    if isinstance(event, yaml.ScalarEvent):
        form = {"'": "quoted", '"': "quoted", "|": "folded", ">": "folded"}.get(event.style or "", "plain")
    elif isinstance(event, yaml.CollectionStartEvent) and event.flow_style:
        form = "flow"
    if key and form == "plain" and start.index == end:
        # The two parsers disagree about the place of an empty value. We put it at its key, right after the colon.
        colon = re.compile(r"\s*:").match(text, _end(key))
        after = colon.end() if colon else _end(key)
        return Place(at.line + 1, at.column + 1, at.line + 1, at.column + 1, after, after, form)
    return Place(at.line + 1, at.column + 1, start.line + 1, start.column + 1, start.index, end, form)


_HINTS = {
    "mapping values are not allowed": 'put a value that contains ": " into quotes, or check the indentation',
    "could not find expected ':'": "a key needs a colon and a space after it",
    "found character": "put the value into quotes",
    "found unexpected end of stream": "a quote or bracket is not closed",
    "found unknown escape character": r"in double quotes \ starts an escape; use single quotes",
    "did not find expected key": "check the indentation, and that quotes and brackets are closed",
    "did not find expected ',' or": "close the bracket, or put a value that contains { } [ ] into quotes",
}


_VERSION = "{version}"
_WITH_VERSION = re.compile(r"([A-Za-z0-9_-]+):[ \t]+((?:\{version\}|[^,{}\[\]\"'\s])+)")


def _unquoted_version_problem(mark: Mark, text: str, file: str) -> Problem | None:
    """The problem of an unquoted `{version}` at this mark, or None.

    YAML takes `{version}` for a block of keys inside { } and at the beginning of a value.
    """
    before, after = text[: mark.index], text[mark.index :]
    if after.startswith(_VERSION):
        where = "inside { }"
    elif before.endswith(_VERSION):
        where = "at the beginning of a value"
    else:
        return None
    values = _WITH_VERSION.finditer(text.splitlines()[mark.line])
    found = next((value for value in values if value.start(2) <= mark.column <= value.end(2)), None)
    key, column = (f"{found[1]}: ", found.start(2)) if found else ("", mark.column)
    next_step = f'write {key}"{found[2]}"' if found else "put the whole value into quotes"
    return Problem(file, mark.line + 1, column + 1, "", f"{_VERSION} {where} needs quotes", next_step)


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(file, 0, 0, "", f"is not YAML: {error.problem}", "check quotes, brackets and indentation")
    place = (file, mark.line + 1, mark.column + 1, "")
    if version := _unquoted_version_problem(mark, text, file):
        return version
    if text[mark.index : mark.index + 1] == "\t":
        return Problem(*place, "there is a tab here", "indent with spaces")
    lines = text.split("\n")[: mark.line + 1][-2:]  # YAML may notice it one line later
    if found := next(((back, line.index("\xa0")) for back, line in enumerate(reversed(lines)) if "\xa0" in line), None):
        return Problem(file, mark.line + 1 - found[0], found[1] + 1, "", "there is a no-break space here", _PLAIN_SPACE)
    problem = error.problem or "cannot be read"
    hint = next(
        (hint for start, hint in _HINTS.items() if problem.startswith(start)), "check quotes, brackets and indentation"
    )
    return Problem(*place, f"is not YAML: {problem}", hint)
