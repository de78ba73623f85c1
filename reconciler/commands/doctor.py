"""`reconcile doctor HOST`: print what works on a host, what does not, and the remedy. Changes nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict

from reconciler.clock import epoch_seconds
from reconciler.colours import paint_findings
from reconciler.desired_state.add_host import read_fleet_of
from reconciler.engine.report import table
from reconciler.errors import HostRefused
from reconciler.model.desired import Desired
from reconciler.model.machine import HostSpec
from reconciler.model.options import Options
from reconciler.observe.ask import ask_all_traefiks
from reconciler.provision.findings import Around, Finding, findings
from reconciler.provision.look import survey
from reconciler.targets.open_fleet import open_host
from reconciler.terminal import paint_for


def run(options: Options) -> int:
    """Return 0 when there is no problem, else 1."""
    return asyncio.run(_doctor(options))


async def _doctor(options: Options) -> int:
    fleet = read_fleet_of(options.desired_state, options.environment)
    spec = Desired(fleet, (), None, options.desired_state).host(options.target)
    found = await _examine_host(options.target, spec, fleet.traefik.api_ports)
    if options.json:
        print(json.dumps({"host": options.target, "findings": [asdict(finding) for finding in found]}, indent=2))
    else:
        print(paint_findings(_text(found), paint_for(sys.stdout)), end="")
    return 1 if any(finding.level == "problem" for finding in found) else 0


async def _examine_host(name: str, spec: HostSpec, api_ports: tuple[int, ...]) -> tuple[Finding, ...]:
    host = open_host(name, spec)
    try:
        try:
            seen = await survey(host, spec.paths)
        except HostRefused as error:
            return (Finding("root access", "problem", str(error).removeprefix(f"host {name}: "), error.next_step),)
        api_port, trouble, forwards = api_ports[0], "", True
        try:
            answers = await ask_all_traefiks(host, api_ports)  # Traefik has two slots; one of them answers
            api_port = next((port for port, answer in answers.items() if isinstance(answer, dict)), api_port)
            answer = answers[api_port]
            trouble = answer if isinstance(answer, str) else ""
        except HostRefused:
            forwards = False
        pinned = spec.local or spec.host_key is not None
        return findings(seen, Around(spec.paths, pinned, epoch_seconds(), api_port, trouble, forwards))
    finally:
        await host.close()


def _text(found: tuple[Finding, ...]) -> str:
    sign = {"ok": "ok", "note": "note", "problem": "PROBLEM"}
    rows = [[sign[finding.level], finding.subject, finding.says] for finding in found]
    lines = table(rows).splitlines()
    width = max(len(sign[finding.level]) for finding in found) + 2
    printed = []
    for line, finding in zip(lines, found, strict=True):
        printed.append(line)
        if finding.remedy:
            printed.append(f"{'':{width}}→ {finding.remedy}")
    return "".join(f"{line}\n" for line in printed)
