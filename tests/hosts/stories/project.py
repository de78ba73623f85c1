"""One app as a person maintains it: a git repository with its YAML file and tarballs, and the command line."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hosts.machine import Machine
from tests.support.child import killed_at_the_end
from tests.support.forked import reconcile
from tests.support.releases import sha256

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Result:
    """How one run of the command line ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log lines on stderr."""
        return [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]

    @property
    def verbs(self) -> list[str]:
        """The verbs of the finished actions, in order."""
        names = (str(event["event"]) for event in self.events)
        return [name.removesuffix(".finished") for name in names if name != "pass.finished"]

    @property
    def told(self) -> str:
        """Stderr without the log lines, as a person reads it."""
        return "".join(line + "\n" for line in self.err.splitlines() if not line.startswith("{"))

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"exit {self.code} after {self.seconds:.1f} s\n{self.out}{self.err}"


@dataclass
class Project:
    """A repository whose `desired-state/apps/<app>.yaml` names one app on one host."""

    folder: Path
    app: str
    machine: Machine
    environ: dict[str, str]
    keys: dict[str, Any] = field(default_factory=dict)

    # --- what a person writes

    @property
    def file(self) -> Path:
        return self.folder / "desired-state" / "apps" / f"{self.app}.yaml"

    @property
    def domain(self) -> str:
        return f"{self.app.replace('_', '-')}.test"

    def add_artifact(self, tarball: Path, version: str) -> None:
        """Put a tarball where the YAML says the artifact of this version lies."""
        build = self.folder / "build"
        build.mkdir(parents=True, exist_ok=True)
        shutil.copy(tarball, build / f"{self.app}-{version}.tar.gz")

    def release_id(self, version: str) -> str:
        return f"{version}-{sha256(self.folder / 'build' / f'{self.app}-{version}.tar.gz')[:12]}"

    def write(self, **keys: Any) -> None:
        """The YAML file with these keys instead; a key with None is left out."""
        self.keys |= keys
        lines = (f"{key}: {yaml(value)}\n" for key, value in self.keys.items() if value is not None)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("".join(lines), encoding="utf-8")

    def commit(self, **keys: Any) -> None:
        """Write and commit."""
        if keys:
            self.write(**keys)
        if not (self.folder / ".git").exists():
            self.git("init", "-q")
            (self.folder / ".gitignore").write_text("build/\n")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", f"{self.app} {self.keys['version']}")

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        subprocess.run(["git", *who, *words], cwd=self.folder, env=self.environ, check=True, capture_output=True)

    # --- what a person types

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "reconciler.cli", *words]

    def run(self, *words: str, **environ: str) -> Result:
        """Run `reconcile` in the repository's folder."""
        begin = time.monotonic()
        done = reconcile(words, self.folder, {**self.environ, **environ})
        result = Result(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)
        print("$ reconcile", *words, f"\n{result}")  # seen when the test fails
        return result

    def once(self, *words: str, **environ: str) -> Result:
        return self.run("--once", *words, **environ)

    def plan(self, *words: str, **environ: str) -> Result:
        return self.run("plan", *words, **environ)

    def status(self) -> dict[str, Any]:
        """The one row of `status --json`."""
        (row,) = self.run("status", "--json").data
        return dict(row)

    def converge(self, **keys: Any) -> Result:
        """Commit and run one pass that has to end converged."""
        self.commit(**keys)
        result = self.once()
        assert result.code == 0, str(result)
        return result

    def killed_after(self, event: str) -> list[str]:
        """Run one pass and kill it with SIGKILL when it has logged this event; return the events so far."""
        seen: list[str] = []
        once = subprocess.Popen(
            self.words("--once"), cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with killed_at_the_end(once) as process:
            assert process.stderr is not None
            for line in process.stderr:
                name = json.loads(line)["event"] if line.startswith("{") else ""
                seen.append(str(name))
                if name == event:
                    break
        assert event in seen, f"{event} never came: {seen}"
        return seen

    # --- what a visitor sees

    def get(self, path: str = "/", method: str = "GET", body: bytes = b"", user: str = "") -> tuple[int, bytes]:
        """One request through Traefik, perhaps as name:password; (0, why) when there is no answer."""
        headers = {"Host": self.domain}
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        connection = http.client.HTTPConnection(self.machine.address, 80, timeout=10)
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body or None, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except OSError as error:
                return 0, str(error).encode()

    @property
    def version_served(self) -> str:
        return self.get("/version")[1].decode().strip()

    # --- what root sees

    def lies(self) -> dict[str, list[str]]:
        """Everything on the host that belongs to this app: files, units and processes."""
        lines = self.machine.run(WHAT_LIES, stdin=self.app.encode()).stdout.splitlines()
        found: dict[str, list[str]] = {}
        for line in lines:
            kind, _, what = line.partition(" ")
            found.setdefault(kind, []).append(what)
        return found

    def one_instance(self, version: str, port: int | str) -> dict[str, list[str]]:
        """The value of `lies` when exactly this version runs at this port, and nothing is left over."""
        unit = f"{self.app}@{port}.service"
        routed = "route" in self.keys and self.keys["route"] is not None
        return {
            "slot": [f"{port} -> ../releases/{self.release_id(version)}"],
            "env": [f"{port}.env"],
            "enabled": [unit],
            "unit": [f"{unit} active"],
        } | ({"route": [str(port)]} if routed else {})

    def running(self) -> dict[str, list[str]]:
        """`lies` without the releases that are kept to go back to."""
        return {kind: what for kind, what in self.lies().items() if kind != "release"}


WHAT_LIES = """\
read -r app || :
ls -A /srv/$app/releases 2>/dev/null | sed 's/^/release /'
for slot in $(ls -A /srv/$app/slots 2>/dev/null); do echo "slot $slot -> $(readlink /srv/$app/slots/$slot)"; done
ls -A /etc/reconcile/$app 2>/dev/null | sed 's/^/env /'
ls -A /etc/systemd/system/*.wants | grep "^$app@" | sed 's/^/enabled /'
systemctl list-units --all --plain --no-legend "$app@*" "$app-*" | awk '{print "unit", $1, $3}'
sed -n '1s/.*slot=\\([^ ]*\\) .*/route \\1/p' /etc/traefik/dynamic/$app.yml 2>/dev/null
for folder in /etc/systemd/system /etc/traefik/dynamic /etc/traefik/.reconcile; do
  ls -A $folder 2>/dev/null | grep "$app.*new" | sed 's/^/unfinished /'
done
ls -A /var/lib/reconcile/$app 2>/dev/null | grep new | sed 's/^/unfinished /'
:
"""


def yaml(value: Any) -> str:
    """A value as YAML on one line: JSON, but for characters that YAML wants written as numbers."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def command_environ(home: Path, cache: Path) -> dict[str, str]:
    """The environment of the command line; it contains nothing from the person who runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CACHE_HOME": str(cache),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(REPOSITORY),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }


@contextlib.contextmanager
def nothing_touched(machine: Machine) -> Iterator[None]:
    """During the block no file, unit or job of the host changes: checked by inode, times and systemd's journal."""
    before, cursor = machine.run(EVERYTHING).stdout, machine.run(CURSOR).stdout.strip()
    yield
    after = machine.run(EVERYTHING).stdout
    changed = changed_lines(before, after)
    assert not changed, "the host was changed:\n" + "\n".join(changed)
    jobs = machine.run(JOBS, stdin=cursor.encode()).stdout
    assert jobs == "", f"systemd was told to do something: {jobs}"


def changed_lines(before: str, after: str) -> list[str]:
    old, new = set(before.splitlines()), set(after.splitlines())
    return [f"- {line}" for line in sorted(old - new)] + [f"+ {line}" for line in sorted(new - old)]


SEEN_BY_OTHERS = """\
read -r text
runuser -u nobody -- grep -rlsF -e "$text" /etc /srv /run /var /tmp
for port; do
  ask='exec 3<>/dev/tcp/127.0.0.1/$0; printf "GET /api/rawdata HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3'
  runuser -u nobody -- bash -c "$ask" $port | grep -o -F -e "$text"
done
:
"""


def seen_by_others(machine: Machine, text: str, *api_ports: int) -> str:
    """World-readable files on the host that contain the text, and the text itself if Traefik's API shows it."""
    ports = " ".join(map(str, api_ports))
    return machine.run(f"set -- {ports}\n{SEEN_BY_OTHERS}", stdin=text.encode()).stdout


# Services that systemd itself starts and ends, at a login or when D-Bus has not asked them for a while.
ITS_OWN = "-e user -e session -e slice -e timedated -e hostnamed -e localed"
# ctime shows a chmod to the same mode and a rename to the same name as well.
EVERYTHING = f"""\
find /srv /etc/reconcile /etc/systemd /etc/traefik /var/lib/reconcile -printf '%p %i %m %U %s %T@ %C@ %l\\n' 2>/dev/null
systemctl show -p Id,ActiveState,InvocationID,NRestarts,UnitFileState '*.service' | grep . | paste -d' ' - - - - - |
  grep -v {ITS_OWN}
:
"""
CURSOR = "journalctl --show-cursor -n0 | sed 's/^-- cursor: //'"
JOBS = f"""\
read -r cursor || :
journalctl --after-cursor="$cursor" _PID=1 -o cat | grep -v -i {ITS_OWN} || :
"""
