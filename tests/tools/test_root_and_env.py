"""No unit and no script of ours runs as root with an app's environment.

A variable such as LD_LIBRARY_PATH makes the loader of any program run somebody's code. tests/hosts/break_out tries it.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import reconciler
from reconciler.model.desired import Sandbox
from reconciler.model.machine import Layout
from reconciler.tools.host_program import OF_A_USER
from reconciler.tools.jobs import JobSettings, job_files
from reconciler.tools.systemd import UnitSettings, unit_text

PACKAGE = Path(reconciler.__file__).parent
TEMPLATES = sorted((PACKAGE / "tools/templates").glob("*.service.j2"))
SCRIPTS = sorted(path for path in (PACKAGE / "tools").rglob("*.sh") if path.stem not in OF_A_USER)
SHIPPED = sorted((PACKAGE.parent / "deploy").rglob("*.service"))
AS_ROOT = re.compile(r"^Exec[A-Za-z]+=[-@:|]*[+!]", re.MULTILINE)  # in front of a command: not as the unit's user

SETTINGS = UnitSettings("hello", Layout().model_dump(), Sandbox().model_dump(), 30, "512M", "none", "", True)
UNITS = {
    **{app: unit_text(dataclasses.replace(SETTINGS, app=app)) for app in ("hello", "traefik")},
    "node": unit_text(dataclasses.replace(SETTINGS, distribution="name", node_host="10.0.0.5")),
    "user": unit_text(dataclasses.replace(SETTINGS, scope="user")),
    **job_files(JobSettings("nightly", "bin/x", "daily", 30, False, "1G", None), SETTINGS),
    **{path.name: path.read_text() for path in SHIPPED},
    "reconcile-epmd.service": (PACKAGE / "tools/templates/reconcile-epmd.service.j2").read_text(),
}


def test_every_unit_template_is_covered() -> None:
    """A template that is new here stands in none of these tests."""
    assert [path.name for path in TEMPLATES] == [
        "app@.service.j2",
        "job.service.j2",
        "reconcile-epmd.service.j2",
        "user-app@.service.j2",
    ]


def test_no_unit_of_an_app_runs_anything_as_root() -> None:
    assert [name for name, text in UNITS.items() if AS_ROOT.search(text)] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_root_script_sources_or_runs_with_an_app_env(script: Path) -> None:
    """A credential is read by the app's own process, in single quotes: root's shell never sources a file of an app."""
    code = "".join(line for line in script.read_text().splitlines(keepends=True) if not line.startswith("#"))
    as_root = re.sub(r"'[^']*'", "", code)

    assert not re.search(r"(^|[;&|(] *)((\.|source) +(?!/etc/os-release )[\"$/~]|eval )", as_root, re.MULTILINE), (
        "root's shell runs a file"
    )
    for call in re.findall(r"(?:systemd-run|run_as )(?:[^\n]*\\\n)*[^\n]*", code):
        assert not ("EnvironmentFile=" in call and re.search(r"Exec\w+=(\+|!|\$WHATEVER_USER)", call)), call
        assert "EnvironmentFile=" not in call or "DynamicUser=yes" in call, call
