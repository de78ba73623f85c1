"""The root file system under every host: built once by `mmdebstrap`, kept, never changed.

It holds what a small real server holds for certain and nothing more: no Python, no curl, no iproute2, no apt.
What works here needs only sshd, systemd, tar, coreutils and util-linux. Logins greet, set a window title and have an
unhelpful environment, as on a server that people have used for years.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from .distribution import DEBIAN, Distribution
from .process import HostsError, command, locked

LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
)
DEPLOY_USER = "deploy"
# bash reads it for every command over SSH. It says and sets what such files do; the last line has no end.
BASHRC = """\
echo "Welcome to $(hostname)"
echo 'Mails in the box' >&2
export LC_ALL=xx_YY.UTF-8 POSIXLY_CORRECT=1 TAR_OPTIONS=--verbose GREP_OPTIONS=--color=always CDPATH=/
export PATH="/opt/wrappers:$PATH"
umask 027
shopt -s expand_aliases
alias ls='ls --color=always' rm='rm -i' tar='tar -v'
printf '\\033]0;%s\\007' "$(hostname)"
"""
# A wrapper of the kind that administrators put first in PATH.
WRAPPER = """\
#!/bin/sh
echo "tar: $*"
exec /usr/bin/tar "$@"
"""
# PAM reads it for sshd and sudo.
ENVIRONMENT = """\
LC_ALL=xx_YY.UTF-8
POSIXLY_CORRECT=1
TAR_OPTIONS=--verbose
"""


def _writes(text: str, path: str) -> str:
    return f'mkdir -p "$(dirname "$1{path}")" && printf \'%s\' {shlex.quote(text)} >"$1{path}"'


HOOKS = (
    # Whoever logs in as `deploy` becomes root by sudo without a password, as on a cloud server.
    f'chroot "$1" useradd --create-home --shell /bin/bash {DEPLOY_USER}',
    f"printf '{DEPLOY_USER} ALL=(ALL:ALL) NOPASSWD: ALL\\n' >\"$1/etc/sudoers.d/{DEPLOY_USER}\"",
    f'chmod 0440 "$1/etc/sudoers.d/{DEPLOY_USER}"',
    # The start-up files and the environment of a server that people have used for years.
    _writes(BASHRC, "/root/.bashrc"),
    _writes(BASHRC, f"/home/{DEPLOY_USER}/.bashrc"),
    _writes(WRAPPER, "/opt/wrappers/tar"),
    'chmod 755 "$1/opt/wrappers/tar"',
    _writes(ENVIRONMENT, "/etc/environment"),
    # Each host brings its own identity and names; the mirrors of the machine that built this are nobody's
    # business.
    'rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id" "$1/etc/hostname" "$1/etc/resolv.conf"',
    'rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap',
    # Nothing here has a screen, and nothing should wake up in the middle of a measurement.
    'rm -f "$1"/etc/systemd/system/getty.target.wants/* "$1"/etc/systemd/system/timers.target.wants/*',
    'chroot "$1" systemctl set-default multi-user.target',
    # A log that survives a reboot is what a failed test needs first.
    'mkdir -p "$1/var/log/journal"',
)
# The ways to reach a mirror that hold for this machine; everything else apt decides afresh.
ACQUIRE_OPTION = re.compile(
    r"^Acquire::(\S*::)?(Proxy|Check-Valid-Until|Check-Date|CaInfo|Verify-\w+|Retries|Timeout)\b",
    re.IGNORECASE,
)


def root_filesystem(distribution: Distribution = DEBIAN) -> Path:
    """The folder with the root file system; built first if there is none for this recipe. Needs root."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconcile-test-hosts"
    image = cache / f"{distribution.name}-{distribution.suite}-{recipe_digest(distribution)}"
    with locked(cache / "build.lock"):
        if not image.is_dir():
            # Nothing half-built is ever seen under the final name.
            building = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
            try:
                _build(distribution, building)
                (building / "root").rename(image)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    return image


def recipe_digest(distribution: Distribution = DEBIAN) -> str:
    recipe = repr((distribution, LEFT_OUT, HOOKS, os.uname().machine))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _build(distribution: Distribution, folder: Path) -> None:
    words = ["mmdebstrap", "--mode=root", "--variant=essential", f"--include={','.join(distribution.packages)}"]
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    words += [f"--aptopt={option}" for option in _apt_options()]
    words += [f"--customize-hook={hook}" for hook in HOOKS]
    words += distribution.options(folder)
    sources = distribution.sources()
    words += [distribution.suite, str(folder / "root")] + (["-"] if sources else [])
    done = subprocess.run(words, input=sources or None, check=False, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise HostsError(f"mmdebstrap could not build {distribution.suite}: {done.stderr[-2000:].strip()}")


def _apt_options() -> list[str]:
    dump = command(["apt-config", "dump", "Acquire"]).stdout.splitlines()
    return [line.removesuffix(";") for line in dump if ACQUIRE_OPTION.match(line) and not line.endswith('"";')]
