"""The page of measured figures is what the bench makes of them."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench.beside.page import FIGURES, files_of


def run(seconds: float, serves: float | None = None, up: int = 6000) -> dict[str, Any]:
    return {
        "seconds": seconds, "up": up, "down": 11_000, "megabytes": 60.0, "serves_seconds": serves, "failed": 0,
        "requests": 700 if serves else 0,
    }  # fmt: skip


def cell(work: str, apps: int, milliseconds: int, **runs: list[dict[str, Any]]) -> dict[str, Any]:
    names = {"bare": "bare asyncssh", "script": "deploy script", "ansible": "Ansible"}
    return {
        "work": work, "apps": apps, "milliseconds": milliseconds,
        "runs": {names.get(tool, tool): taken for tool, taken in runs.items()},
    }  # fmt: skip


def fleet(name: str, work: str, seconds: float, megabytes: float) -> dict[str, Any]:
    cost = {
        "seconds": seconds, "cpu_seconds": 2.5, "megabytes": megabytes, "files": 1007, "server_cpu_seconds": 2.0,
        "connections": 1000, "code": 0,
    }  # fmt: skip
    return {"name": name, "work": work, "costs": [cost, cost]}


SCRIPT = {**run(4.5, None, 5_700_000), "failed": 368, "requests": 3000}
FIGURES_OF_A_RUN: dict[str, Any] = {
    "commit": "abc1234", "date": "1 December 2026", "machine": "Python 3.11.7, 2 cores", "load": [0.1, 1.2],
    "minutes": 14.6, "boot_seconds": 1.0, "versions": {"Ansible": "ansible-playbook [core 2.19.14]"},
    "cells": [
        *(
            cell(
                "quiet", apps, ms, bare=[run(0.2 + ms / 60)] * 5, reconcile=[run(0.4 + ms / 60)] * 5,
                pyinfra=[run(apps * (1 + ms / 30))] * 3, ansible=[run(apps * (3.6 + ms / 30))] * 2,
            )
            for apps in (1, 5, 20) for ms in (0, 50)
        ),
        *(
            cell(
                "code", 1, ms, reconcile=[run(6, 3.2, 130_000)] * 5, pyinfra=[run(11, 7, 5_700_000)] * 2,
                ansible=[run(17, 10, 9_200_000)], script=[SCRIPT],
            )
            for ms in (0, 50)
        ),
        cell("env", 1, 50, reconcile=[run(6, 3.1)] * 5, pyinfra=[run(9, 6)] * 2, ansible=[run(15, 9)]),
        cell("install", 1, 50, reconcile=[run(6, 4)] * 5, pyinfra=[run(10, 8)] * 2, ansible=[run(15, 11)]),
    ],
    "fleets": [
        fleet("1,000 × 1", "quiet, from cold", 2.9, 155), fleet("1,000 × 5", "quiet, from cold", 5.5, 170),
        fleet("5,000 × 1", "quiet, from cold", 19.2, 480), fleet("1,000 × 5", "quiet, in a watch", 1.5, 175),
    ],
}  # fmt: skip


def page(figures: dict[str, Any]) -> str:
    return next(text for path, text in files_of(figures).items() if path.name == "performance.md")


def test_the_page_says_which_goals_were_reached_and_which_were_not() -> None:
    text = page(FIGURES_OF_A_RUN)

    assert "| 5,000 × 1, quiet, from cold: seconds | 19.2 s | ≤ 18 s | no |" in text
    assert "| 1,000 × 1, quiet, from cold: memory | 155 MiB | ≤ 160 MiB | yes |" in text
    assert "| another version, 50 ms | 0 of 3,500 | 0 of 1,400 | 0 of 700 | 368 of 3,000 |" in text
    assert "times as fast as Ansible | 9 × | ≥ 10 × | no |" in text


def test_what_was_not_measured_is_left_out() -> None:
    few = {**FIGURES_OF_A_RUN, "cells": FIGURES_OF_A_RUN["cells"][:1], "fleets": []}

    text = page(few)

    assert "nan" not in text
    assert "as fast as Ansible" in text


def test_the_charts_follow_the_colours_of_the_reader() -> None:
    charts = {path: text for path, text in files_of(FIGURES_OF_A_RUN).items() if path.suffix == ".svg"}

    assert len(charts) == 3
    for text in charts.values():
        picture = ElementTree.fromstring(text)
        assert "prefers-color-scheme:dark" in text
        assert picture.attrib["aria-label"]


@pytest.mark.skipif(not FIGURES.exists(), reason="the page was not measured yet")
def test_page_and_charts_are_those_of_the_figures() -> None:
    """`python -m tests.bench.beside.page` writes them again."""
    expected = files_of(json.loads(FIGURES.read_text()))

    assert {path: path.read_text() for path in expected} == expected
