"""What the guides show runs: each example is built as its guide says and rolled out with the YAML that stands there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.stoppable import node
from tests.support.releases import cached

pytestmark = pytest.mark.hosts

EXAMPLES = Path(__file__).parents[3] / "deploy" / "example"
VERSION = "0.1.0"


def built(language: str) -> Path:
    """The tarball that `./build` of the example makes; made once for the same sources."""
    example = EXAMPLES / language
    sources = [path for path in sorted(example.iterdir()) if path.is_file()]

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(example, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("out"))
            environ = {**os.environ, "GZIP_LEVEL": "1"} | ({"NODE": node()} if language == "node" else {})
            words = [f"{folder}/build", VERSION]
            done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
            shutil.copy(f"{folder}/out/hello-{VERSION}.tar.gz", path)

    parts = [part for path in sources for part in (path.name, path.read_bytes())]
    return cached(f"{language}-{VERSION}.tar.gz", make, *parts)


@pytest.mark.parametrize("language", ["go", "node", "python"])
def test_an_example_brings_all_it_needs(language: str, new_project: NewProject) -> None:
    """Nothing of its language is on the host. It comes up in its sandbox, and a changed variable is a swap of slots."""
    project = new_project()
    project.add_artifact(built(language), VERSION)
    keys: dict[str, Any] = yaml.safe_load((EXAMPLES / language / "hello.yaml").read_text())
    keys["health"]["minimum_healthy_seconds"] = 0
    ours = ("app", "artifact", "hosts", "ports", "route")
    project.converge(**{key: value for key, value in keys.items() if key not in ours})
    assert project.get() == (200, f"Hello from {language} {VERSION}\n".encode())

    changed = project.converge(env={**keys["env"], "GREETING": "Hi $you"})

    assert "install" not in changed.verbs
    assert project.get() == (200, f"Hi $you from {language} {VERSION}\n".encode())
    assert project.running() == project.one_instance(VERSION, project.keys["ports"][1])
    ended = project.machine.run(f"systemctl show -P Result {project.app}@{project.keys['ports'][0]}").stdout
    assert ended == "success\n"  # it left by itself after SIGTERM
    assert project.machine.run("command -v node go python3", check=False).stdout == ""
