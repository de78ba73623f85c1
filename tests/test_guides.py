"""The guides show what the examples are tested with, and lead somewhere. What they have people write: test_examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_examples import blocks

ROOT = Path(__file__).parent.parent
GUIDES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("language", ["go", "node", "python"])
def test_an_example_is_what_its_guide_shows(language: str) -> None:
    shown = [block.text for block in blocks(ROOT / "docs" / f"{language}.md")]

    assert shown == [(ROOT / "deploy" / "example" / language / "hello.yaml").read_text(encoding="utf-8")]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_links_of_a_guide_lead_somewhere(guide: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", guide.read_text(encoding="utf-8"))

    assert [target for target in targets if not (guide.parent / target).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "docs/rootless.md"])
def test_a_message_that_a_page_explains_is_one_that_reconcile_prints(page: str) -> None:
    """Its longest part without a value is in the sources, where a message may be broken over lines."""
    sources = [*(ROOT / "reconciler").rglob("*.py"), *(ROOT / "reconciler").rglob("*.sh")]
    text = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text(encoding="utf-8") for path in sources))
    _, _, table = (ROOT / page).read_text(encoding="utf-8").partition("## When something is wrong\n")
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)

    assert len(messages) >= 3
    parts = {message: max(re.split(r"…|\S*\d\S*", message), key=len).strip(" :,") for message in messages}
    assert [message for message, part in parts.items() if part not in text] == []
