"""Parses the text of a SOPS file: its leaves in order, with the keys on the path to each, and the `sops` block. Pure.

The MAC covers unencrypted values as Go prints them, so they are read as Go's YAML and JSON readers do. A value that we
read differently can only make a valid MAC fail, never the reverse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from reconciler.desired_state.yaml_text import DEEPEST, LARGEST_FILE, Document, read_yaml

_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_MOST_DIGITS = 400  # Python itself reads at most 4300; we treat a longer number as text
_FLOAT = re.compile(r"[+-]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][+-]?[0-9]+)?")
_TRUTHS = {"true": "True", "True": "True", "TRUE": "True", "false": "False", "False": "False", "FALSE": "False"}


class NotSops(ValueError):
    """The text is not a SOPS file. The message gives the reason and never contains a value."""


@dataclass(frozen=True)
class Leaf:
    """One value as written: encrypted text, or a plain value as the MAC covers it."""

    keys: tuple[str, ...]  # the keys that SOPS binds the value to; list indexes are left out
    path: tuple[str, ...]  # its name here: keys and list indexes
    text: str = field(repr=False)
    truth: bool = False  # a plain true or false, which the MAC covers as True or False


@dataclass(frozen=True)
class Tree:
    """All leaves, and the metadata of SOPS."""

    leaves: tuple[Leaf, ...]
    sops: Mapping[str, Any]


def read_tree(content: bytes, file: str) -> Tree:
    """Parse a YAML or JSON file of SOPS. Raises NotSops."""
    if file.endswith(".json"):
        value, document = _read_json(content), None
    else:
        document = read_yaml(content, file)
        if document.problems:
            problem = document.problems[0]
            raise NotSops(f"line {problem.line}: {problem.message}")
        value = document.value
    if not isinstance(value, dict):
        raise NotSops("is not a SOPS file")
    sops = value.get("sops")
    if not isinstance(sops, dict) or not isinstance(sops.get("mac"), str):
        raise NotSops("is not encrypted by SOPS: it has no sops block with a mac")
    leaves = (
        leaf for key, inner in value.items() if key != "sops" for leaf in _leaves(inner, (key,), (key,), document)
    )
    return Tree(tuple(leaves), sops)


def _leaves(value: object, keys: tuple[str, ...], path: tuple[str, ...], document: Document | None) -> Iterator[Leaf]:
    if len(path) > DEEPEST:
        raise NotSops(f"is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*keys, key), (*path, key), document)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, keys, (*path, str(index)), document)
    elif value is not None:
        yield _leaf(value, keys, path, document)


def _leaf(value: object, keys: tuple[str, ...], path: tuple[str, ...], document: Document | None) -> Leaf:
    if isinstance(value, bool):
        return Leaf(keys, path, str(value), truth=True)
    if isinstance(value, float):
        return Leaf(keys, path, go_float(value))
    text = str(value)
    if document is None or not _is_plain(path, document):
        return Leaf(keys, path, text)
    if text in _TRUTHS:
        return Leaf(keys, path, _TRUTHS[text], truth=True)
    return Leaf(keys, path, _number(text))


def _is_plain(path: tuple[str, ...], document: Document) -> bool:
    """True if the scalar is unquoted, so that YAML determines its type."""
    node: tuple[str | int, ...] = ()
    for part in path:
        step = (*node, part)
        node = step if step in document.places else (*node, int(part))
    return document.places[node].form == "plain"


def _number(text: str) -> str:
    plain = text.replace("_", "")
    if len(plain) > _MOST_DIGITS:
        return text
    if _INTEGER.fullmatch(plain):
        digits = plain.lstrip("+-")
        base = {"x": 16, "b": 2, "o": 8}.get(
            digits[1:2].lower(), 8 if digits.startswith("0") and len(digits) > 1 else 10
        )
        number = int(digits[2:] if digits[1:2].isalpha() else digits, base)
        return str(-number if plain.startswith("-") else number)
    return go_float(float(plain)) if _FLOAT.fullmatch(plain) else text


def go_float(number: float) -> str:
    """Return the shortest digits for this number, without an exponent, as Go's FormatFloat(f, 'f', -1, 64) does."""
    if number != number or number in (float("inf"), float("-inf")):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(repr(number), "NaN")
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _read_json(content: bytes) -> object:
    def refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise NotSops("has a duplicate key")
        return dict(pairs)

    if len(content) > LARGEST_FILE:
        raise NotSops("is larger than 1 MiB")
    try:
        # SOPS reads each number in JSON as a float.
        value = json.loads(content.decode(), object_pairs_hook=refuse_duplicates, parse_int=float, parse_float=float)
        json.dumps(value, ensure_ascii=False).encode()  # fails for a lone surrogate such as "\\ud800"
        return value
    except (ValueError, RecursionError) as error:
        if isinstance(error, NotSops):
            raise
        raise NotSops("is not JSON") from None
