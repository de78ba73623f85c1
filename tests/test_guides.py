"""The guides show what the examples are tested with, and lead somewhere. What they have people write: test_examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_examples import PAGES, blocks

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("language", ["go", "node", "python"])
def test_an_example_is_what_its_guide_shows(language: str) -> None:
    shown, *_ = blocks(ROOT / "docs" / f"{language}.md")

    assert shown.text == (ROOT / "deploy" / "example" / language / "hello.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8"))
    targets = [((page.parent / name).resolve() if name else page, anchor) for name, anchor in links]

    assert [path for path, _ in targets if not path.exists()] == []
    assert [(path, anchor) for path, anchor in targets if anchor and anchor not in anchors(path)] == []


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub names them in links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


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
