"""deploy/: systemd accepts the units, and the command line accepts every call in the units and the CI files."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.test_examples import accept, calls

DEPLOY = Path(__file__).parent.parent / "deploy"
UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix in (".service", ".timer"))
CI = sorted((DEPLOY / "ci").glob("*.yml"))


def test_systemd_analyze_accepts_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    for unit in UNITS:  # the program is not installed here
        text = unit.read_text(encoding="utf-8").replace("/opt/reconcile/bin/reconcile ", "/bin/true ")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")

    words = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert {unit.name for unit in UNITS} >= {"reconcile.service", "reconcile-local.service", "reconcile-once.timer"}
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def shell_lines(path: Path) -> list[str]:
    """What a unit or a CI file has the shell (or systemd) run."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".yml":
        return re.findall(r"^Exec\w+=[-@:+!|]*(.*)$", text, re.MULTILINE)
    jobs = yaml.safe_load(text)
    steps = [step for job in jobs.get("jobs", {}).values() for step in job["steps"]]
    scripts = [job["script"] for job in jobs.values() if isinstance(job, dict) and "script" in job]
    return [line for script in [step.get("run", "") for step in steps] for line in script.splitlines()] + [
        line for script in scripts for line in script
    ]


@pytest.mark.parametrize("path", [*UNITS, *CI], ids=lambda path: path.name)
def test_each_reconcile_command_line_in_a_unit_is_accepted(path: Path) -> None:
    found = [words for line in shell_lines(path) for words in calls(line)]

    assert found or path.suffix == ".timer"
    for words in found:
        accept(words)


def test_each_deployment_runs_a_pass() -> None:
    """The test above also passes for a file that only validates."""
    for path in CI:
        assert "reconcile --once --wait-lock" in path.read_text(encoding="utf-8")
        assert yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in ("reconcile.service", "reconcile-local.service"):
        unit = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
        assert "\nType=notify\n" in unit
        assert "\nWatchdogSec=" in unit
        assert ("\nEnvironment=RECONCILE_ALLOW_LOCAL=yes\n" in unit) == (name == "reconcile-local.service")
