"""Text without the values of secrets, whatever form they took on their way into it. Pure."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Collection
from urllib.parse import quote, quote_plus

SHORTEST_PART = 8  # a shorter line or piece of base64 would also hide what is no secret


def masked(text: str, secrets: Collection[str]) -> str:
    """The text without these values, also where they are quoted, encoded or only one of their lines."""
    forms = {form for secret in secrets if secret for form in forms_of(secret)}
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        text = text.replace(form, "***")
    return text


def forms_of(secret: str) -> set[str]:
    """The value, its longer lines, and how JSON, Python, a shell, an address or base64 write it."""
    raw = secret.encode(errors="surrogatepass")
    lines = {line.strip() for line in secret.splitlines() if len(line.strip()) >= SHORTEST_PART}
    quoted = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    shell = {shlex.quote(secret).strip("'"), secret.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")}
    address = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    return {secret, *lines, *quoted, *shell, *address, *_base64(raw)} - {""}


def _base64(raw: bytes) -> set[str]:
    encoded = base64.b64encode(raw).decode()
    found = {encoded, encoded.rstrip("=")}
    for before in range(3):  # in the middle of something longer, as in user:password, three alignments are possible
        text = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        inner = text[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        if len(inner) >= SHORTEST_PART:
            found.add(inner)
    return found | {each.translate(str.maketrans("+/", "-_")) for each in found}
