"""`reconcile dashboard HOST`: forward Traefik's dashboard, which a host serves only to itself, to a local port."""

from __future__ import annotations

import asyncio
import signal
import sys

from reconciler.commands.stop_signals import call_on_signal
from reconciler.errors import HostError, UsageError
from reconciler.host.http import HttpConnection, NoAnswer
from reconciler.host.transport import Transport
from reconciler.host.tunnel import open_tunnel
from reconciler.model.observed import Unreachable
from reconciler.model.options import Options
from reconciler.observe.lease import new_controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import open_fleet
from reconciler.targets.site import api_port

PATH = "/dashboard/"


def run(options: Options) -> int:
    """Serve the dashboard until Ctrl-C or SIGTERM, then return 0."""
    options = options.for_host()
    try:
        return asyncio.run(_dashboard(options))
    except KeyboardInterrupt:
        return 0


async def _dashboard(options: Options) -> int:
    async with open_fleet(options, valid_only=True) as opened:
        if options.host_name not in opened.hosts:
            raise UsageError(f"host {options.host_name} has no app", "name a host that has one")
        host, site = opened.hosts[options.host_name], opened.sites[options.host_name]
        targets = [files for files in opened.targets.values() if files.target.proxy]
        seen = await observe(host, site, targets, new_controller(opened.owner))
        if isinstance(seen, Unreachable):
            raise HostError(host.name, seen.reason, seen.next_step)
        port = api_port(seen, site)
        await _require_dashboard(host, port)
        server = await open_tunnel(host, port, options.port)
        stopped = asyncio.Event()
        call_on_signal(stopped.set, signal.SIGTERM, signal.SIGINT)
        try:
            print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}", flush=True)
            print(f"serving Traefik's dashboard on {host.name} until Ctrl-C", file=sys.stderr, flush=True)
            await stopped.wait()
        finally:
            server.close()
    return 0


async def _require_dashboard(host: Transport, port: int) -> None:
    http = HttpConnection(host, port)
    try:
        status, _ = await http.get(PATH)
    except NoAnswer as error:
        raise HostError(host.name, f"Traefik's API on 127.0.0.1:{port}: {error}", "reconcile status") from None
    finally:
        http.close()
    if status != 200:
        raise HostError(
            host.name,
            f"its Traefik does not serve a dashboard (status {status})",
            "set traefik: dashboard: true in fleet.yaml",
        )
