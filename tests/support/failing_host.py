"""A host in a folder, whose commands can be made to fail: the real scripts run there, with shell functions in front.

systemd is a few files: which units are active, their last run, and the unit files that it has read.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.machine import Layout
from reconciler.tools import scripts

SHELL = shutil.which("dash") or "sh"
# All commands of the scripts that change something, or bring what is written: the call of this number fails.
CHANGING = [
    *("cat", "chgrp", "chmod", "chown", "cp", "ln", "mkdir", "mkfifo", "mktemp", "mv", "rm", "rmdir"),
    *("awk", "gzip", "sed", "sha256sum", "sync", "tail", "tar", "touch", "xargs"),
]

# Calls run side by side, in pipes: each gets a file that no other has made.
COUNTED = """\
calls=0
counted() { # name word ...: true if this call shall be made
  set -C
  until echo "$*" >"$HOST/calls/$calls"; do calls=$((calls + 1)); done 2>/dev/null
  set +C
  [ "$calls" != "$FAILING" ]
}
"""
WRAPPED = """\
%s() { counted %s "$@" && command %s "$@"; }
"""
# A wrong word is a mistake in the scripts or here: it ends all.
SYSTEMD = """\
systemctl() {
  counted systemctl "$@" || return 1
  verb=
  wants=$UNITS/multi-user.target.wants
  for each; do
    case $each in
      *.timer) verb=${verb:-$each} name=$each wants=$UNITS/timers.target.wants ;;
      --version) echo 'systemd 252 (252)'; return ;;
      -P | -s | --*) ;;
      KILL | InvocationID | ActiveState | MainPID) property=$each ;;
      *) if [ -z "$verb" ]; then verb=$each; else name=$each; fi ;;
    esac
  done
  case $verb in
    show) case $property in
      InvocationID) [ ! -e "$HOST/systemd/$name.run" ] || command cat "$HOST/systemd/$name.run" ;;
      ActiveState) if [ -e "$HOST/systemd/$name.active" ]; then echo active; else echo inactive; fi ;;
      MainPID) echo 0 ;;
    esac ;;
    start | restart) [ "$verb" = start ] && [ -e "$HOST/systemd/$name.active" ] || {
      command mktemp -u XXXXXXXXXXXXXXXX >"$HOST/systemd/$name.run"; : >"$HOST/systemd/$name.active"; }
      [ ! -e "$HOST/systemd/$name.fails" ] ;;
    stop | kill) command rm -f "$HOST/systemd/$name.active" ;;
    is-active) [ -e "$HOST/systemd/$name.active" ] ;;
    is-enabled) [ -L "$wants/$name" ] ;;
    enable)
      command mkdir -p "$wants"
      command ln -sf x "$wants/$name" ;;
    disable) command rm -f "$wants/$name" ;;
    daemon-reload) command cat "$UNITS"/*.[st]* "$TRIAL_UNITS"/*.service >"$HOST/systemd/read" 2>/dev/null; : ;;
    list-units) for each in "$HOST"/systemd/hello@*.active; do [ ! -e "$each" ] || echo "${each##*/}"; done ;;
    reset-failed | try-restart | clean) ;;
    *) echo "the test knows no systemctl $*" >&2; kill -s KILL $$ ;;
  esac
}
journalctl() { echo 'it said this'; }
"""


@dataclass(frozen=True)
class Ended:
    """How a script ended: the status in its reply, or its own; what it wrote; and which call was made to fail."""

    status: int
    stderr: str
    failed: str  # its words; empty if there were not so many calls


@dataclass(frozen=True)
class FailingHost:
    """The host. Copies are hosts of their own, if they are at the same path."""

    root: Path

    @property
    def layout(self) -> Layout:
        names = ("releases", "env", "units", "state", "traefik")
        return Layout(**{name: f"{self.root}/host/{name}" for name in names})

    def make(self) -> None:
        for path in (*self.layout.model_dump().values(), f"{self.root}/systemd"):
            Path(path).mkdir(parents=True)
        program = self.root / "bin/systemd-run"  # no function may be named so
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\n{COUNTED}counted systemd-run "$@"\n')
        program.chmod(0o755)

    def path(self, name: str) -> Path:
        return self.root / "host" / name

    def invocation(self, unit: str) -> str:
        path = self.root / "systemd" / f"{unit}.run"
        return path.read_text().strip() if path.exists() else ""

    def run(self, name: str, *words: str, stdin: bytes = b"", failing: int = -1) -> Ended:
        """Run the script. `failing` is the number of the call that fails, from 0."""
        shutil.rmtree(self.root / "calls", ignore_errors=True)
        (self.root / "calls").mkdir()
        script = scripts.finish_script("system") if name == "finish" else scripts.change_script(name, "system")
        head = COUNTED + "".join(WRAPPED % (each, each, each) for each in CHANGING) + SYSTEMD
        frame, look = "part result - $?\n", 'ONLY=yes TREES=${TREES:-no}\nlook "$word"\n'
        assert name == "finish" or script.text.endswith(frame + look)
        text = head + script.text.replace(frame + look, frame)  # what it looks like is seen from here
        lease = (*self.layout.model_dump().values(), "me", "0", "me@here", "owner", "-", "c0ffee")
        words = (*lease, *(() if name == "finish" else ("hello:",)), *words)
        environ = {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "HOST": str(self.root),
            "FAILING": str(failing),
            "HOME": "/",
        }
        done = subprocess.run(
            [SHELL, "-c", text, "reconcile", *words], input=stdin, capture_output=True, env=environ, check=False
        )
        failed = self.root / "calls" / str(failing)
        said = re.search(rb"^@@ result - \d+\n(\d+)$", done.stdout, re.MULTILINE)
        assert said or name == "finish", done
        return Ended(
            int(said[1]) if said else done.returncode,
            done.stderr.decode(),
            failed.read_text().strip().replace(f"{self.root}/host/", "") if failed.exists() else "",
        )

    def calls(self) -> list[str]:
        """The words of each call of the last run that could have been made to fail, in order."""
        folder = self.root / "calls"
        numbers = sorted(int(path.name) for path in folder.iterdir())
        return [(folder / str(each)).read_text().strip().replace(f"{self.root}/host/", "") for each in numbers]

    def snapshot(self) -> dict[str, str]:
        """Everything on the host: kind, mode and content of each path. Times differ, and so do leases and runs."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name, mode = str(path.relative_to(self.root)), path.lstat().st_mode
            if name.startswith("calls") or name.endswith((".run", "/lease")):
                continue
            content = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
            if name.endswith(("/quarantine", "/suspended")) or "/.history/" in name:
                lines = re.sub(r"\d{10}", "TIME", content).splitlines()
                content = "\n".join(dict.fromkeys(lines))  # what was noted twice
            if "/trees/" in name:
                content = "a digest, also of the times of folders that were made here"
            if name.endswith("/hold"):
                content = "TIME"
            if name.endswith(".started"):
                run, _, origin = content.partition(" ")
                last = self.invocation(f"hello@{path.stem}.service")
                content = f"{'its last run' if run == last else 'another run'} {origin}"
            found[name] = f"{stat.filemode(mode)} {content}"
        return found


def saved(host: FailingHost, folder: Path) -> Callable[[], None]:
    """What puts the host back to what it is now."""
    shutil.copytree(host.root, folder, symlinks=True)

    def put_back() -> None:
        shutil.rmtree(host.root)
        shutil.copytree(folder, host.root, symlinks=True)

    return put_back
