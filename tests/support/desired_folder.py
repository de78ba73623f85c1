"""A desired state in the folder `ds` of the current one, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired_state.load import load
from reconciler.errors import InvalidDesiredState

HELLO = """\
app: hello
version: 1.10
artifact: {source: "../hello-{version}.tar.gz"}
hosts: [web1]
ports: [4000, 4001]
"""


def write(apps: dict[str, str], fleet: str | None = None) -> Path:
    """Write these app files, and fleet.yaml if it is given."""
    folder = Path("ds")
    (folder / "apps").mkdir(parents=True, exist_ok=True)
    for name, text in apps.items():
        (folder / "apps" / f"{name}.yaml").write_text(text)
    if fleet is not None:
        (folder / "fleet.yaml").write_text(fleet)
    return folder


def problems(apps: dict[str, str], fleet: str | None = None) -> list[str]:
    """Each problem as people read it, without the name of the folder; each has a next step."""
    with pytest.raises(InvalidDesiredState) as refused:
        load(write(apps, fleet))
    assert all(problem.message and problem.next_step for problem in refused.value.problems)
    return [str(problem).removeprefix("ds/") for problem in refused.value.problems]
