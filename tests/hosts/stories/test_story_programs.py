"""Programs that others wrote run as the guides say: packed by the guides' commands, with the YAML that stands there."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts.debian_packages import update_package_lists
from tests.hosts.load import Load, Stream, Target
from tests.hosts.machine import Machine
from tests.hosts.stories.project import REPOSITORY, Project, command_environ, wait_for
from tests.hosts.stories.project import yaml as one_line
from tests.support.forked import LONGEST_SECONDS
from tests.support.npm import programs
from tests.support.releases import cached

pytestmark = pytest.mark.hosts

COMES_BACK_SECONDS = 30
PACK_SECONDS = 900  # it downloads, and the other tests run beside it


@dataclass(frozen=True)
class Program:
    """A section of a guide that shows how a program is packed, as shell, and the file of its app.

    `former` is the version before: what to write in place of some of the section's words.
    """

    app: str
    page: str
    heading: str
    version: str
    former: dict[str, str]
    path: str  # for visitors
    version_command: tuple[str, ...]
    version_told: str

    def shown(self, language: str, *, former: bool) -> str:
        """The first block of this language in the section."""
        page = (REPOSITORY / "docs" / self.page).read_text(encoding="utf-8")
        _, _, section = page.partition(f"\n## {self.heading}\n")
        found = re.search(rf"^```{language}\n(.*?)^```$", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
        assert found, f"{self.page}: {self.heading} shows no {language}"
        text = found[1]
        assert self.version in text
        for new, old in self.former.items() if former else ():
            text = text.replace(new, old)
        return text

    @property
    def domain(self) -> str:
        (domain,) = yaml.safe_load(self.shown("yaml", former=False))["route"]["domains"]
        return str(domain)


PYTHON, NODE = "bin/python3", "bin/node"
MANAGE = ("exec", "shop", "--", PYTHON, "app/manage.py")
PROGRAMS = (
    Program(
        "shop", "python.md", "Django", "1.0.0", {"1.0.0": "0.9.0", "django~=5.2.0": "django~=5.1.0"}, "/admin/login/",
        (PYTHON, "-m", "django", "--version"), "5.2.",
    ),
    Program(
        "tables", "programs.md", "From PyPI: Datasette", "0.65.5", {"0.65.5": "0.65.4"}, "/-/versions.json",
        (PYTHON, "-m", "datasette", "--version"), "0.65.5",
    ),
    Program(
        "stub", "programs.md", "From npm: json-server", "0.17.4", {"0.17.4": "0.17.3"}, "/posts",
        (NODE, "node_modules/.bin/json-server", "--version"), "0.17.4",
    ),
    Program(
        "metrics", "programs.md", "From a Debian package: Prometheus", "2.42.0", {"2.42.0": "2.42.0-0"},
        "/api/v1/query?query=1", ("bin/prometheus", "--version"), "version 2.42.0",
    ),
)  # fmt: skip


def pack(program: Program, former: bool) -> Path:
    """The tarball that the guide's commands write; made once for the same commands."""
    script = program.shown("sh", former=former)
    name = f"{program.app}-{program.former[program.version] if former else program.version}.tar.gz"

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            home, caches = Path(folder) / "home", path.parents[2]
            (home / "bin").mkdir(parents=True)
            (home / "reconcile").symlink_to(REPOSITORY)
            search = f"{programs(home / 'bin')}:{os.environ['PATH']}"
            environ = {**os.environ, "HOME": str(home), "PATH": search, "GZIP_LEVEL": "1"}
            environ |= {"PIP_CACHE_DIR": f"{caches}/pip", "npm_config_cache": f"{caches}/npm"}
            words = ["sh", "-eu", "-c", script]
            done = subprocess.run(
                words, cwd=folder, env=environ, capture_output=True, text=True, timeout=PACK_SECONDS, check=False
            )
            assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
            shutil.move(f"{folder}/{program.app}/out/{name}", path)

    builds = [(REPOSITORY / f"deploy/example/{language}/build").read_bytes() for language in ("node", "python")]
    return cached(name, make, script, *builds)


@pytest.fixture
def project(own: Machine, ssh_home: Path, command_cache: Path, tmp_path: Path) -> Project:
    """A repository with the former version of each program, and with the tarballs of both."""
    environ = command_environ(ssh_home, command_cache) | {"RECONCILE_SECRET_SHOP_SECRET_KEY": "a" * 50}
    project = Project(tmp_path / "servers", "shop", own, environ, {"version": "and others"})
    (project.folder / "desired-state" / "apps").mkdir(parents=True)
    (project.folder / ".gitignore").write_text("out/\n")
    update_package_lists()
    wanted = [(program, former) for program in PROGRAMS for former in (True, False)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        for (program, _), tarball in zip(wanted, pool.map(pack, *zip(*wanted, strict=True)), strict=True):
            out = project.folder / program.app / "out"
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy(tarball, out)
    for program in PROGRAMS:
        write(project, program)
    return project


def write(project: Project, program: Program, **changes: Any) -> None:
    """The app's file as the guide shows it, but for this host: no certificate, and no password for visitors."""
    keys = yaml.safe_load(program.shown("yaml", former=True))
    keys |= {"hosts": [project.machine.name], "route": {"domains": [program.domain], "tls": False}, **changes}
    path = project.folder / "desired-state" / "apps" / f"{program.app}.yaml"
    path.write_text("".join(f"{key}: {one_line(value)}\n" for key, value in keys.items()), encoding="utf-8")


@contextlib.contextmanager
def visitors(project: Project) -> Iterator[None]:
    """Ten requests a second to each program, on kept and on new connections; none may fail."""
    loads = [
        Load(
            Target(project.machine.address, program.domain),
            [Stream("kept", 5, program.path), Stream("new", 5, program.path, keep_alive=False)],
            max_seconds=LONGEST_SECONDS,
        )
        for program in PROGRAMS
    ]
    with contextlib.ExitStack() as stack:
        for load in loads:
            stack.enter_context(load.running())
        yield
    assert all(load.samples for load in loads)
    failed = [load.summary() for load in loads if load.failures or load.ended_early]
    assert not failed, "\n".join(failed)


def answers(project: Project, program: Program) -> bool:
    connection = http.client.HTTPConnection(project.machine.address, 80, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", program.path, headers={"Host": program.domain})
        return connection.getresponse().status == 200
    return False


def add_user(project: Project, name: str) -> None:
    words = ("createsuperuser", "--noinput", "--username", name, "--email", f"{name}@example.com")
    done = project.run(*MANAGE[:3], "env", "DJANGO_SUPERUSER_PASSWORD=x", *MANAGE[3:], *words)
    assert done.code == 0, str(done)


def users(project: Project) -> str:
    script = "from django.contrib.auth.models import User; print(*User.objects.values_list('username', flat=True))"
    return project.run(*MANAGE, "shell", "--command", script).out.splitlines()[-1]


def test_programs_of_others_are_upgraded_under_load_and_come_back_after_a_reboot(project: Project) -> None:
    """Django with gunicorn and SQLite, Datasette, json-server and Debian's Prometheus, all on one host."""
    project.converge()
    add_user(project, "ada")

    with visitors(project):
        for program in PROGRAMS:
            assert project.run("set", program.app, program.version).code == 0
        project.converge()

    for program in PROGRAMS:
        told = project.run("exec", program.app, "--", *program.version_command)
        assert program.version_told in told.out + told.err

    project.machine.reboot()

    for program in PROGRAMS:
        wait_for(partial(answers, project, program), COMES_BACK_SECONDS, f"{program.app} serves after the boot")
    assert project.once().verbs == []
    assert users(project) == "ada"

    write(project, PROGRAMS[-1], ports=[4300, 4301])
    shown = project.plan("--working-tree", "--app", "metrics").out
    assert "both instances use the files that slot 4300 keeps open in /var/lib/metrics (ports: [4300]" in shown
