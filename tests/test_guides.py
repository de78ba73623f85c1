"""The guides: what they tell people to write is taken, and is what the examples are tested with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from reconciler.load import load

ROOT = Path(__file__).parent.parent
GUIDES = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"```yaml\n# (desired-state/\S+?)(,[^\n]*)?\n(.*?)```", re.DOTALL)


def blocks(guide: Path) -> list[tuple[str, bool, str]]:
    """(file, whether it only changes what stands before, text) of each block."""
    return [(file, bool(change), text) for file, change, text in BLOCK.findall(guide.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("guide", [guide for guide in GUIDES if blocks(guide)], ids=lambda guide: guide.stem)
def test_what_a_guide_says_to_write_is_taken(guide: Path, tmp_path: Path) -> None:
    """After each of its blocks about an app, in their order."""
    (tmp_path / "apps").mkdir()
    for name, changes, text in blocks(guide):
        file = tmp_path / Path(name).relative_to("desired-state")
        before = yaml.safe_load(file.read_text()) if changes else {}
        new = yaml.safe_load(text)
        env = {**before.get("env", {}), **new.get("env", {})}
        file.write_text(yaml.safe_dump(before | new | ({"env": env} if env else {})))

        if not name.endswith("fleet.yaml"):
            assert len(load(tmp_path, working_tree=True).apps) == 1


@pytest.mark.parametrize("language", ["go", "node", "python"])
def test_an_example_is_what_its_guide_shows(language: str) -> None:
    shown = [text for _, _, text in blocks(ROOT / "docs" / f"{language}.md")]

    assert shown == [(ROOT / "deploy" / "example" / language / "hello.yaml").read_text(encoding="utf-8")]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_links_of_a_guide_lead_somewhere(guide: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", guide.read_text(encoding="utf-8"))

    assert [target for target in targets if not (guide.parent / target).exists()] == []
