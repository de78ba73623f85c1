"""The page of messages: each one exists in the sources, as it is written there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
SOURCES = [path for kind in ("py", "sh") for path in sorted((ROOT / "reconciler").rglob(f"*.{kind}"))]
TEXT = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text(encoding="utf-8") for path in SOURCES))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_of_the_page_is_one_that_reconcile_prints(message: str) -> None:
    form = r"[^\n]{1,60}".join(re.escape(part) for part in message.split("…"))

    assert re.search(form, TEXT), f"no source has: {message}"


def test_the_page_has_messages() -> None:
    assert len(MESSAGES) > 30
