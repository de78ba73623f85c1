"""The unit and the route of an app as they are on a host, read only when people want to see what differs."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from reconciler.errors import HostRefused
from reconciler.host.transport import Command, Transport
from reconciler.targets.site import HostSite
from reconciler.tools import scripts

LONGEST_FILE = 65_536


@dataclass(frozen=True)
class FilesOnHost:
    """The texts of both files, "" where there is none. Anyone with root may have written them."""

    unit: str
    route: str


async def read_files(host: Transport, site: HostSite, app: str) -> FilesOnHost:
    """Read both files in one round trip. Raises HostError."""
    words = (site.layout.units, site.layout.traefik, app)
    answer = await host.run(Command(scripts.plain_script("files", site.spec.scope), words))
    lines = answer.stdout.split("\n")
    try:
        texts = [base64.b64decode(line, validate=True)[:LONGEST_FILE].decode("utf-8", "replace") for line in lines[:2]]
        unit, route = texts
    except (ValueError, binascii.Error):
        raise HostRefused(host.name, f"the files of {app} could not be read", "try reconcile doctor") from None
    return FilesOnHost(unit, route)
