"""The pictures in the docs show what the terminal shows today."""

from __future__ import annotations

import re

import pytest

from tests.pictures import FOLDER, SCENES, svg


@pytest.mark.parametrize("name", sorted(SCENES))
def test_a_picture_is_fresh_and_loads_nothing_from_elsewhere(name: str) -> None:
    """Otherwise: python -m tests.pictures"""
    picture = (FOLDER / f"terminal-{name}.svg").read_text(encoding="utf-8")

    assert picture == svg(SCENES[name]())
    assert re.findall(r"https?://[^\"]+", picture) == ["http://www.w3.org/2000/svg"]
