"""Masks the values of secrets in a text, in whatever encoding a program wrote them. Pure.

docs/secrets.md lists the encodings; any other is not recognised.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST_PART = 8  # a shorter line or piece of base64 would also mask text that is not secret
SHORTEST_CUT = 12  # of a value cut by a line end: `postgres` at the end of a line need not begin a secret address
_JOURNAL_HEAD = re.compile(r"(?:\S+ \S+ [^\s:]+\[[0-9]+\]: )?")  # `journalctl -o short-iso`: time, host, name[pid]


def mask(text: str, secrets: Collection[str]) -> str:
    """Mask these values in the text, also if they are quoted, encoded or cut by a line end, and their single lines."""
    forms = _all_forms(frozenset(secrets))
    for form in forms:
        text = text.replace(form, MASK)
    return "\n".join(_without_cut(line, forms) for line in text.split("\n")) if forms else text


def forms_of(secret: str) -> set[str]:
    """Return the value, its longer lines, and the value in JSON, Python, shell, HTML, URLs, base64, hex, as a list."""
    import html  # only a fleet with secrets needs its table of entities

    raw = secret.encode(errors="surrogatepass")
    lines = {line.strip() for line in secret.splitlines() if len(line.strip()) >= SHORTEST_PART}
    quoted = _json(secret) | {twice for once in _json(secret) for twice in _json(once)}
    python = {repr(secret)[1:-1], repr(raw)[2:-1]}
    shell = {shlex.quote(secret).strip("'"), secret.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")}
    page = {html.escape(secret, quote=False), html.escape(secret), html.escape(secret).replace("&#x27;", "&#39;")}
    address = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    return {secret, *lines, *quoted, *python, *shell, *page, *address, *_base64(raw), *_numbers(raw)} - {""}


@lru_cache(maxsize=8)  # a log is masked line by line
def _all_forms(secrets: frozenset[str]) -> tuple[str, ...]:
    """Return the forms of all secrets, longest first, so that masking a part of one does not break it up."""
    forms = {form for secret in secrets if secret for form in forms_of(secret)}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _json(text: str) -> set[str]:
    return {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _base64(raw: bytes) -> set[str]:
    encoded = base64.b64encode(raw).decode()
    found = {encoded, encoded.rstrip("=")}
    for before in range(3):  # inside a longer value, such as user:password, three alignments are possible
        text = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        inner = text[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        if len(inner) >= SHORTEST_PART:
            found.add(inner)
    return found | {form.translate(str.maketrans("+/", "-_")) for form in found}


def _numbers(raw: bytes) -> set[str]:
    """Return the bytes as hex digits, and as a list of numbers in the notations of JSON, Elixir and Go."""
    found = {raw.hex(), raw.hex().upper(), *(between.join(map(str, raw)) for between in (", ", ",", " "))}
    return {form for form in found if len(form) >= SHORTEST_PART}


def _without_cut(line: str, forms: tuple[str, ...]) -> str:
    """Mask the piece of a value that continues in the next line, or that began in a previous one."""
    head, body = line[: (start := _JOURNAL_HEAD.match(line).end())], line[start:]  # type: ignore[union-attr]
    if len(body) < SHORTEST_CUT:
        return line
    for form in forms:
        if len(form) <= SHORTEST_CUT:
            break
        if body in form:
            return head + MASK
        body = _without_end(form, _without_beginning(form, body))
    return head + body


def _without_beginning(form: str, body: str) -> str:
    """Mask the beginning of the form at the end of the line."""
    found = body.find(form[:SHORTEST_CUT], max(0, len(body) - len(form) + 1))
    while found != -1:
        if form.startswith(body[found:]):
            return body[:found] + MASK
        found = body.find(form[:SHORTEST_CUT], found + 1)
    return body


def _without_end(form: str, body: str) -> str:
    """Mask the end of the form at the beginning of the line."""
    found = body.rfind(form[-SHORTEST_CUT:], 0, len(form) - 1)
    while found != -1:
        if form.endswith(body[: found + SHORTEST_CUT]):
            return MASK + body[found + SHORTEST_CUT :]
        found = body.rfind(form[-SHORTEST_CUT:], 0, found + SHORTEST_CUT - 1)
    return body
