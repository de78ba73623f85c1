"""Waits for Traefik: to apply a route, and to have a certificate for every name of it.

The result is evidence. It becomes part of the observation and is valid until the next look.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from reconciler.clock import now_seconds, sleep_seconds
from reconciler.decide.certificates import WITHIN_SECONDS, names_without_certificate
from reconciler.host.http import HttpConnection
from reconciler.host.transport import Transport
from reconciler.model.action import ConfirmRoute, WaitCertified
from reconciler.model.observed import ObservedHost
from reconciler.model.transfer import ReportProgress
from reconciler.observe.ask import ask_all_traefiks, ask_certificates, trouble_of_traefik
from reconciler.targets.site import api_port, api_ports
from reconciler.targets.target_files import TargetFiles
from reconciler.tools.traefik_api import is_served, route_held_by_all

CONFIRM_WITHIN_SECONDS = 10.0
ETCD_WITHIN_SECONDS = 75.0  # a Traefik that found etcd empty, or away, asks it again after up to a minute


async def confirm_route(
    host: Transport, files: TargetFiles, action: ConfirmRoute, seen: ObservedHost, *, new_in_etcd: bool = False
) -> ObservedHost:
    """Wait until every Traefik on the host has applied the route, or no longer has one if the action has no digest.

    Returns the observation with what Traefik holds in `applied`, or with `unconfirmed` if time ran out.
    """
    app = seen.app(action.app)
    ports = api_ports(seen, files.site)
    started, pause = now_seconds(), 0.005
    within_seconds = ETCD_WITHIN_SECONDS if new_in_etcd else CONFIRM_WITHIN_SECONDS
    trouble: str | None = None
    applied = app.applied
    with contextlib.ExitStack() as stack:
        connections = {port: stack.enter_context(contextlib.closing(HttpConnection(host, port))) for port in ports}
        while now_seconds() - started < within_seconds:
            held = await ask_all_traefiks(host, ports, connections)
            answered = [rawdata for rawdata in held.values() if isinstance(rawdata, dict)]
            trouble = trouble_of_traefik(seen, held)
            applied = app.applied
            if answered:
                applied = route_held_by_all(action.app, answered, action.digest, action.attempt)
            if not trouble and is_served(applied, action.digest, action.attempt):
                return replace(seen, traefik=None).with_app(action.app, replace(app, applied=applied, unconfirmed=None))
            await sleep_seconds(pause)
            pause = min(pause * 1.5, 0.5)
    waited = f"not within {within_seconds:g} s"
    return replace(seen, traefik=trouble).with_app(action.app, replace(app, applied=applied, unconfirmed=waited))


async def wait_for_certificates(
    host: Transport,
    files: TargetFiles,
    action: WaitCertified,
    seen: ObservedHost,
    report_progress: ReportProgress,
) -> ObservedHost:
    """Wait until Traefik has a certificate for every name of the route.

    Returns the observation with Traefik's certificates, and with `uncertified` if time ran out.
    """
    port = api_port(seen, files.site)
    http = HttpConnection(host, port)
    deadline, pause = now_seconds() + WITHIN_SECONDS, 0.1
    try:
        while True:
            held = await ask_certificates(host, port, http)
            seen = replace(seen, certificates=held)
            names = names_without_certificate(files.target, seen)
            if not names:
                return seen
            left = deadline - now_seconds()
            if left <= 0:
                waited = f"not within {WITHIN_SECONDS} s"
                return seen.with_app(action.app, replace(seen.app(action.app), uncertified=waited))
            report_progress(f"certificate for {', '.join(names)}, {left:.0f} s left")
            await sleep_seconds(min(pause, max(left, 0.01)))
            pause = min(pause * 1.5, 1.0)
    finally:
        http.close()
