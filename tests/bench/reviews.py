"""How long the plan between two commits takes, with 100 apps and no host: each pull request waits for it."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from tests.bench.lab import Lab
from tests.bench.table import Row, spread
from tests.support.repository import Repository, Words, app

APPS = 100


def measure(lab: Lab, runs: int) -> list[Row]:
    """One app of 100 changes, then all of them."""
    with tempfile.TemporaryDirectory() as name:
        repository = Repository.make(Path(name) / "repository")
        for changed in (0, 1, APPS):
            repository.commit(*(_app(number, "1.1" if number < changed else "1.0") for number in range(APPS)))
        one = _seconds(lab, repository, "HEAD~2", "HEAD~1", runs)
        every = _seconds(lab, repository, "HEAD~2", "HEAD", runs)
    return [
        Row(
            f"plan between two commits, 1 of {APPS} apps",
            spread(one, "s"),
            goal="<= 1 s",
            met=statistics.median(one) <= 1,
        ),
        Row(f"plan between two commits, {APPS} of {APPS} apps", spread(every, "s")),
    ]


def _app(number: int, version: str) -> Words:
    ports = [str(4000 + 2 * number), str(4001 + 2 * number)]
    route = {"domains": [f"app{number}.example.com"]}
    return app(f"app{number}", version, hosts=["web1"], ports=ports, route=route, env={"A": "1", "B": "2"})


def _seconds(lab: Lab, repository: Repository, old: str, new: str, runs: int) -> list[float]:
    folder = str(repository.root / "desired-state")
    words = [*lab.command, "plan", "--from", old, "--to", new, "--desired-state", folder]
    return [lab.run(words).seconds for _ in range(runs + 1)][1:]
