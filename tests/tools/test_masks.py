"""No form of a secret that docs/secrets.md names gets through the mask, and little else is hidden."""

from __future__ import annotations

import base64
import html
import json
import shlex
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.tools import masks
from reconciler.tools.masks import MASK, mask

SECRET = "pl4nted $\"\\`'value%/+<&>"
RAW = SECRET.encode()
LONG = base64.b64encode(bytes(range(90))).decode()
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "secrets.md").read_text()


@pytest.mark.parametrize(
    ("shown", "form"),
    [
        ("x {} y", SECRET),
        ("Authorization: Basic {}", base64.b64encode(b"user:" + RAW).decode()),
        ("postgres://user:{}@db/x", quote(SECRET, safe="")),
        ("{}", json.dumps(SECRET)),
        ('{{"body": {}}}', json.dumps(json.dumps({"key": SECRET}))),
        ("{}", repr(SECRET)),
        ("{}", repr("zo\u00eb".encode() + RAW)),
        ("sh: {}: not found", shlex.quote(SECRET)),
        ("{}", base64.b64encode(RAW).decode()),
        ("<td>{}</td>", html.escape(SECRET)),
        ("<td>{}</td>", html.escape(SECRET, quote=False)),
        ("<td>{}</td>", html.escape(SECRET).replace("&#x27;", "&#39;")),
        ("key={}", RAW.hex()),
        ("key={}", RAW.hex().upper()),
        ("<<{}>>", ", ".join(map(str, RAW))),
        ("[{}]", ",".join(map(str, RAW))),
        ("[{}]", " ".join(map(str, RAW))),
    ],
)
def test_every_documented_form_of_a_secret_is_masked(shown: str, form: str) -> None:
    text = mask(shown.format(form), {SECRET})

    assert MASK in text
    assert not any(piece in text for piece in ("pl4nted", form[1:-1], RAW.hex()[:16], "112, 108", "112 108"))


@pytest.mark.parametrize("head", ["", "2026-11-30T05:30:00+00:00 web1 shop@4000[17]: "])
@pytest.mark.parametrize("width", [20, 47, 76, 119])
def test_a_value_that_is_cut_by_line_ends_is_masked_piece_by_piece(head: str, width: int) -> None:
    """As `base64 -w`, a pretty-printer or the journal's longest line cut it; the last piece may be short."""
    pieces = textwrap.wrap(f"the key is {LONG}, and so on", width, break_on_hyphens=False)
    text = mask("\n".join(head + piece for piece in pieces), {LONG})

    left = [piece for line in text.split("\n") for piece in line.removeprefix(head).split(MASK)]
    assert max(longest_part(piece, LONG) for piece in left) < 12
    assert text.startswith(head + "the key is")
    assert "on" in text


def longest_part(piece: str, secret: str) -> int:
    """The length of the longest piece of the secret that still stands there."""
    found = 0
    for begin in range(len(piece)):
        while piece[begin : begin + found + 1] in secret and begin + found < len(piece):
            found += 1
    return found


def test_text_that_is_not_secret_is_shown() -> None:
    """A value's beginning that is a word of its own, one byte in hex, and a head of the journal."""
    line = "2026-11-30T05:30:00+00:00 web1 shop@4000[17]: 61 or 97: cannot connect to postgres"

    assert mask(line, {"postgres://shop:pl4nted@db/shop", "a"}).replace(MASK, "a") == line
    assert mask(line, set()) == mask(line, {""}) == line


@given(st.text(min_size=1, max_size=40), st.lists(st.text(max_size=60), max_size=4))
def test_the_secret_value_itself_is_always_masked(secret: str, pieces: list[str]) -> None:
    text = mask(secret.join(pieces), {secret})

    assert secret in MASK or not any(secret in piece for piece in text.split(MASK))


def test_the_page_names_every_form() -> None:
    """It claims neither more nor less than what is tested here."""
    words = ("JSON", "Python", "a shell", "HTML", "a URL", "base64", "in hex", "list of bytes", "line end")
    assert [word for word in words if word not in PAGE] == []


def test_the_forms_of_the_secrets_are_worked_out_once_for_a_whole_log() -> None:
    """It is masked line by line, for the whole of `reconcile logs`."""
    secrets: Any = frozenset({LONG, SECRET, *(f"secret number {number}" for number in range(20))})
    masks._all_forms.cache_clear()
    for number in range(100):
        mask(f"2026-11-30T05:30:00+00:00 web1 shop@4000[17]: GET /orders/{number} 200 in 3 ms", secrets)

    assert masks._all_forms.cache_info().misses == 1
