"""The demo's temporary folder, with a home, a git repository and the host's files; and free ports."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import UsageError
from reconciler.model.machine import Layout

APP_FILES = Path(__file__).with_name("app")
HOST, APP, DOMAIN = "web1", "hello", "hello.localhost"
PLAIN_PATH = r"(/[A-Za-z0-9_+@-][A-Za-z0-9_.+@-]*)+"
LONGEST_FOLDER = 60  # the path of a unix socket below it may have at most 107 bytes


@dataclass(frozen=True)
class Place:
    """The folders of one demo."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def host(self) -> Path:
        """The folder that stands for `/` of the host."""
        return self.root / "host"

    @property
    def desired_state(self) -> Path:
        return self.root / "repository" / "desired-state"

    @property
    def layout(self) -> Layout:
        usual = Layout().model_dump()
        return Layout(**{key: f"{self.host}{path}" for key, path in usual.items()})

    def make(self) -> None:
        for path in (self.home, self.desired_state / "apps", self.root / "repository" / "build"):
            path.mkdir(parents=True)
        for folder in self.layout.model_dump().values():
            Path(folder).mkdir(parents=True)
        self.git("init", "--quiet", "--template=", "--initial-branch=main")

    def git(self, *words: str) -> str:
        """Run git and return its output. The demo's own home has no git settings, so it runs with git's defaults.

        Raises UsageError if git is missing or fails.
        """
        if shutil.which("git") is None:
            raise UsageError("the demo keeps its desired state in git, which is not installed", "apt install git")
        who = ["-c", "user.name=Demo", "-c", "user.email=demo@localhost"]
        words = ("git", *who, "-C", str(self.root / "repository"), *words)
        # In its own session, so that a Ctrl-C reaches us and not git.
        done = subprocess.run(words, check=False, capture_output=True, text=True, start_new_session=True)
        if done.returncode:
            raise UsageError(
                f"git failed: {done.stderr.strip()}", "the demo needs git 2.28 or newer, and room for its files"
            )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Commit the desired state and return the commit's short id."""
        self.git("add", "desired-state")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "--short=7", "HEAD")

    def build_release(self, version: str) -> None:
        """Write the app as a release archive, as a build would."""
        archive = self.root / "repository" / "build" / f"{APP}-{version}.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            for path in sorted(APP_FILES.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    executable = path.parent.name == "bin"
                    _add(tar, str(path.relative_to(APP_FILES)), path.read_bytes(), 0o755 if executable else 0o644)
            _add(tar, "VERSION", f"{version}\n".encode(), 0o644)

    def write_fleet(self, ssh_port: int, host_key: str, api_port: int) -> None:
        paths = "".join(f"      {key}: {path}\n" for key, path in self.layout.model_dump().items())
        login = f"    address: 127.0.0.1\n    port: {ssh_port}\n    user: root\n    host_key: {host_key}\n"
        # The running Python certainly works. /usr/bin/python3, the app's default, may be missing or too old.
        defaults = f"defaults:\n  env: {{PYTHON3: {json.dumps(sys.executable)}}}\n"
        text = f"hosts:\n  {HOST}:\n{login}    paths:\n{paths}{defaults}traefik:\n  api_port: {api_port}\n"
        (self.desired_state / "fleet.yaml").write_text(text, encoding="utf-8")

    def write_app(self, version: str, ports: tuple[int, int]) -> str:
        """Write the file that a user would write, and return its text."""
        text = f"""\
app: {APP}
version: "{version}"
artifact: {{source: "../build/{APP}-{{version}}.tar.gz"}}
hosts: [{HOST}]
ports: [{ports[0]}, {ports[1]}]
env: {{GREETING: Hello}}
health: {{path: /ping, minimum_healthy_seconds: 1}}
route: {{domains: [{DOMAIN}], tls: false}}
drain_seconds: 5
processes:
  worker: {{start: bin/hello work, minimum_healthy_seconds: 1}}
jobs:
  report: {{run: bin/hello report}}
"""
        (self.desired_state / "apps" / f"{APP}.yaml").write_text(text, encoding="utf-8")
        return text


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


@contextlib.contextmanager
def make_temporary_place() -> Iterator[Place]:
    """Make a place, and remove it after the block."""
    root = Path(tempfile.mkdtemp(prefix="reconcile-demo-", dir=_base()))
    try:
        place = Place(root)
        with isolate_environment(place.home):
            place.make()
            yield place
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _base() -> str:
    """Return a suitable folder for temporary files. Raises UsageError if there is none."""
    folders = (os.path.realpath(tempfile.gettempdir()), "/tmp", "/var/tmp")  # noqa: S108 - mkdtemp goes about it safely
    for folder in folders:
        plain = re.fullmatch(PLAIN_PATH, folder) and len(folder) <= LONGEST_FOLDER
        if plain and os.access(folder, os.W_OK | os.X_OK) and not os.statvfs(folder).f_flag & os.ST_NOEXEC:
            return folder
    what = "may be written, lets programs run, and has a short and plain path"
    raise UsageError(f"none of {', '.join(dict.fromkeys(folders))} {what}", "set TMPDIR to a folder that does")


@contextlib.contextmanager
def isolate_environment(home: Path) -> Iterator[None]:
    """Make `home` the place of SSH keys and settings, git's settings and our cache, in place of the user's own home."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("GIT_", "SSH_", "XDG_", "RECONCILE_")):
            del os.environ[name]
    os.environ |= {"HOME": str(home), "USER": "demo", "LOGNAME": "demo", "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def hold_ports(count: int) -> Iterator[list[int]]:
    """Reserve free ports of 127.0.0.1 during the block: other programs do not get them, ours can listen on them."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        # Below the ports of outgoing connections: `reconcile` advises against those.
        for port in random.sample(range(20_000, 32_768), 1000):
            held = stack.enter_context(socket.socket())
            try:
                held.bind(("127.0.0.1", port))
            except OSError:  # another process has it
                continue
            # Set after bind: before it, a port that another process has bound would pass for a free one.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ports.append(port)
            if len(ports) == count:
                break
        yield ports
