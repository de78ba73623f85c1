"""ARCHITECTURE.md and CONTRIBUTING.md name only what exists, and the map is the one that the package shows."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import reconciler

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "reconciler"
PAGES = ["ARCHITECTURE.md", "CONTRIBUTING.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATH = re.compile(r"[A-Za-z0-9_./@-]+/[A-Za-z0-9_./@-]*|[a-z_]+\.(?:py|md|toml|lock)")
LEFT_OUT = {"commands/NAME.py", "tests/decide/cases/NAME/"}  # the reader puts a name there


def named_paths(page: str) -> list[str]:
    """Every `code span` of a page that is a path, without the folder of the package or with it."""
    prose = FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))
    spans = [word for span in re.findall(r"`([^`\n]+)`", prose) for word in span.split()]
    return [span for span in spans if PATH.fullmatch(span) and span not in LEFT_OUT]


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    paths = named_paths(page)

    assert len(paths) >= 10
    assert [path for path in paths if not (ROOT / path).exists() and not (PACKAGE / path).exists()] == []


def test_every_type_that_the_architecture_names_exists() -> None:
    """A row of the table of types begins with the name, then the module."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)(?:\(\))?` \| `([a-z_/]+)\.py` \|", text, re.MULTILINE)

    assert len(rows) >= 8
    for name, module in rows:
        assert hasattr(import_module(f"reconciler.{module.replace('/', '.')}"), name), f"{module}.py has no {name}"


def test_the_map_has_every_package_and_is_the_same_in_both_places() -> None:
    maps = [text for _, text in FENCED.findall((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))]
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    floors = next(text for text in maps if text.startswith("cli.py "))

    assert floors.strip() in (reconciler.__doc__ or "")
    assert packages <= set(re.findall(r"([a-z_]+)/", floors))
