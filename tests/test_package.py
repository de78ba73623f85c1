"""The wheel and the sdist, built and installed into an empty environment as a new user would."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    return folder


def test_both_archives_contain_the_licence_and_every_file_of_the_package(built: Path) -> None:
    """Scripts and templates are read at run time: without them no rollout would work."""
    package = REPOSITORY / "reconciler"
    tracked = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "reconciler"], check=True, capture_output=True, text=True
    ).stdout.split()
    wheel = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        sdist = {name.partition("/")[2] for name in archive.getnames()}

    assert package.is_dir() and len(tracked) > 100
    assert set(tracked) <= set(wheel)
    assert {*tracked, "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= sdist
    assert any(name.endswith("/licenses/LICENSE") for name in wheel)


def test_the_demo_runs_from_a_wheel_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    """What README asks of a fresh machine, without this checkout."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True, timeout=120)
    wheel = next(built.glob("*.whl"))
    program = tmp_path / "env/bin"
    pip = [str(program / "pip"), "install", "-q", "--disable-pip-version-check", f"{wheel}[demo]"]
    subprocess.run(pip, check=True, capture_output=True, timeout=300)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    shown = subprocess.run(
        [program / "python", "-m", "reconciler", "--version"], capture_output=True, text=True, cwd="/", timeout=120
    )
    demo = subprocess.run(
        [program / "reconcile", "demo"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    assert shown.stdout.startswith("reconcile ")
    assert (demo.returncode, "0 failed" in demo.stdout) == (0, True), demo.stdout + demo.stderr
