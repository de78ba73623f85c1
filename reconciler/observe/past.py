"""The history of an app as its host keeps it: what was changed, by whom, from which commit."""

from __future__ import annotations

from typing import Any

from reconciler.host.transport import Command, Transport
from reconciler.targets.site import HostSite
from reconciler.tools import scripts
from reconciler.tools.records import read_entry


async def read_history(host: Transport, site: HostSite, app: str) -> list[dict[str, Any] | None]:
    """The entries stored on the host, oldest first; None in place of a malformed line. Raises HostError."""
    command = Command(scripts.plain_script("history", site.spec.scope), (site.layout.state, app))
    text = (await host.run(command)).stdout
    return [read_entry(line) for line in text.split("\n") if line]
