"""deploy/: units that systemd takes, and CI files and units that only ask for what the command line has."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from reconciler.cli import COMMANDS, read_options

DEPLOY = Path(__file__).parent.parent / "deploy"
UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix in (".service", ".timer"))
CI = sorted((DEPLOY / "ci").glob("*.yml"))


def test_systemd_finds_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    for unit in UNITS:  # the program is not installed here
        text = unit.read_text(encoding="utf-8").replace("/opt/reconcile/bin/reconcile ", "/bin/true ")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")

    words = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert {unit.name for unit in UNITS} >= {"reconcile.service", "reconcile-local.service", "reconcile-once.timer"}
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", [*UNITS, *CI], ids=lambda path: path.name)
def test_what_is_asked_of_reconcile_is_there(path: Path) -> None:
    said = path.read_text(encoding="utf-8")
    asked = re.findall(r"^\s*(?:-|- run:|ExecStart=\S*/)?\s*reconcile ((?:--?[a-z]|[a-z]).*)$", said, re.MULTILINE)

    for line in asked:
        words = line.partition(" #")[0].partition(" ||")[0].split()
        named = read_options(words)
        assert named.command in (None, *COMMANDS)


def test_each_way_of_running_it_asks_for_a_pass() -> None:
    """The test above would be content with files that ask for nothing."""
    for path in CI:
        assert "reconcile --once --wait-lock" in path.read_text(encoding="utf-8")
        assert yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in ("reconcile.service", "reconcile-local.service"):
        unit = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
        assert "\nType=notify\n" in unit
        assert "\nWatchdogSec=" in unit
        assert ("\nEnvironment=RECONCILE_ALLOW_LOCAL=yes\n" in unit) == (name == "reconcile-local.service")
