"""Everything that the demo starts. It is stopped in reverse order, however the demo ends."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.demo.host import demo_host, make_login, write_shims
from reconciler.demo.place import Place, hold_ports, make_temporary_place
from reconciler.demo.systemctl import run_systemd
from reconciler.demo.traefik import Binary, run_traefik
from reconciler.model.options import Options


@dataclass(frozen=True)
class Stage:
    """A place with a running host and a running Traefik."""

    place: Place
    ssh_port: int
    host_key: str
    web_port: int
    api_port: int
    slots: tuple[int, int]

    @property
    def arguments(self) -> Options:
        """The options of `reconcile --desired-state DIR`."""
        return Options(
            desired_state=self.place.desired_state, ref=None, working_tree=False, app=None, host=None,
            repo=None, branch=None, allowed_signers=None,
        )  # fmt: skip


@contextlib.asynccontextmanager
async def set_up(traefik: Binary) -> AsyncIterator[Stage]:
    """Run everything during the block. Afterwards no process and no file of it is left."""
    async with contextlib.AsyncExitStack() as stack:
        place = stack.enter_context(make_temporary_place())
        web, api, *slots = stack.enter_context(hold_ports(4))
        socket, shims = place.root / "systemd.sock", place.root / "bin"
        write_shims(shims, socket)
        await stack.enter_async_context(run_systemd(Path(place.layout.units), socket, str(shims)))
        address = await stack.enter_async_context(demo_host(make_login(place.home), shims, place.home))
        await stack.enter_async_context(run_traefik(traefik, place.root, Path(place.layout.traefik), web, api))
        yield Stage(place, address.port, address.host_key, web, api, (slots[0], slots[1]))
