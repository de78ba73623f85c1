"""The protections of an app's sandbox that it can switch off."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reconciler.model import values
from reconciler.model.fields import EachOnce, MayBeEmpty, Whole
from reconciler.model.machine import Strict


class Sandbox(Strict):
    """Protections to switch off for an app that does not work with them. Those not named here stay on."""

    write_execute_memory: values.Flag = Field(
        default=False,
        description="Allow memory that is both writable and executable (MemoryDenyWriteExecute=no); for some JITs.",
    )
    devices: values.Flag = Field(
        default=False, description="Show the host's devices (PrivateDevices=no, DevicePolicy=auto)."
    )
    home: values.Flag = Field(default=False, description="Show /home, /root and /run/user (ProtectHome=no).")
    namespaces: values.Flag = Field(
        default=False,
        description="Allow creating namespaces, as browsers and sandboxes do (RestrictNamespaces=no).",
    )
    shared_users: values.Flag = Field(
        default=False,
        description="Run without a user namespace (PrivateUsers=no), for hosts that do not allow one. "
        "In scope user the app can then see the whole home.",
    )
    extra_writable_paths: Annotated[tuple[values.AbsolutePath, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Absolute paths that the app may write to besides its own folders (ReadWritePaths=).",
    )
    extra_ports: Annotated[tuple[Annotated[int, Whole(1, 65535)], ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="TCP ports that it may listen on besides its own (SocketBindAllow=), such as one for metrics.",
    )
    capabilities: Annotated[tuple[values.Capability, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Capabilities to keep (CapabilityBoundingSet=, AmbientCapabilities=, PrivateUsers=no).",
    )
