"""One look at a host that cannot be reached."""

from __future__ import annotations

import asyncio
from typing import cast

from reconciler.errors import HostUnreachable
from reconciler.host.transport import Transport
from reconciler.model.machine import HostSpec
from reconciler.model.observed import Unreachable
from reconciler.model.target import Controller
from reconciler.observe.look import observe
from reconciler.targets.site import HostSite


class Away:
    """Whatever else it is asked for is a mistake: it has no such thing."""

    name = "away"

    def __init__(self) -> None:
        self.tries = 0

    def open_ahead(self) -> None: ...

    async def open(self) -> None:
        self.tries += 1
        raise HostUnreachable(self.name, "no answer in time", "ssh away")


def test_it_is_tried_once_however_much_is_to_be_asked() -> None:
    """Each try may take twenty seconds, and other questions of a look would each try anew."""
    host = Away()

    seen = asyncio.run(
        observe(
            cast(Transport, host),
            HostSite("away", HostSpec(address="192.0.2.1"), (8080, 8081)),
            [],
            Controller("1", "anna", "-"),
        )
    )

    assert seen == Unreachable("away", "no answer in time", "ssh away", retryable=True, kind="unreachable")
    assert host.tries == 1
