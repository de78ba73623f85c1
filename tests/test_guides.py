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
