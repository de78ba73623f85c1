"""The command line as a user meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from reconciler import cli

HEAVY = ("asyncssh", "structlog", "jinja2", "httpx2", "prometheus_client", "pydantic", "watchfiles", "asyncio", "yaml")


def reconcile(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "reconciler.cli", *words], cwd=cwd, capture_output=True, text=True)


def test_help_imports_nothing_heavy() -> None:
    """--help must answer within a quarter of a second."""
    code = "import sys; from reconciler.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_once_imports_what_it_does_not_need_to_connect_later() -> None:
    """The engine and all below it are imported while the hosts log us in."""
    later = (
        "reconciler.engine",
        "reconciler.decide",
        "reconciler.observe",
        "reconciler.apply",
        "reconciler.tools.look",
        "reconciler.secrets",
        "difflib",
        "tarfile",
    )
    code = "import sys, reconciler.cli, reconciler.commands.once\n"
    code += f"print([name for name in sys.modules if name in {HEAVY[:5]!r} or name.startswith({later!r})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_ctrl_c_while_the_options_are_read_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(argv: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "read_options", interrupt)
    monkeypatch.setattr(cli, "gc", Mock())  # the test's own process goes on
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")

    assert cli.program() == 130
    assert "stopped" in capsys.readouterr().err


def test_a_missing_folder_is_reported_with_exit_2(tmp_path: Path) -> None:
    done = reconcile("--once", cwd=tmp_path)

    assert done.returncode == 2
    assert "desired-state" in done.stderr
    assert "Traceback" not in done.stderr


def test_options_are_accepted_before_and_after_the_command(tmp_path: Path) -> None:
    before = reconcile("--desired-state", "nowhere", "plan", cwd=tmp_path)
    after = reconcile("plan", "--desired-state", "nowhere", cwd=tmp_path)

    assert before.returncode == after.returncode == 2
    assert before.stderr == after.stderr


def test_an_unknown_command_is_exit_2(tmp_path: Path) -> None:
    assert reconcile("deploy", cwd=tmp_path).returncode == 2


def test_an_unknown_app_is_named_with_the_known_ones(tmp_path: Path) -> None:
    apps = tmp_path / "desired-state" / "apps"
    apps.mkdir(parents=True)
    text = "app: hello\nversion: '1'\nartifact: {source: ../hello.tar.gz}\nhosts: [local]\nports: [4000]\n"
    (apps / "hello.yaml").write_text(text)

    done = reconcile("plan", "--app", "helo", cwd=tmp_path)
    assert done.returncode == 2
    assert "no app helo" in done.stderr
    assert "known: hello" in done.stderr
