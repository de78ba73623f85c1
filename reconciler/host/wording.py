"""Words for a failed connection that people understand."""

from __future__ import annotations

import os

from reconciler.words import printable


def plain_words(error: Exception) -> str:
    """Describe the error in one printable line, such as "Connection refused", without errno or Python's own words."""
    if isinstance(error, OSError) and error.errno:
        # Negative numbers are the resolver's, whose own texts are good; asyncio's text for the others is Python's.
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
    return printable(str(getattr(error, "reason", "") or error)) or type(error).__name__


def not_forwarded_words(address: str, port: int) -> tuple[str, str]:
    """Return the error message and the next step for a connection that sshd does not let us make."""
    if address == "127.0.0.1":
        return (
            "sshd does not forward connections, so health checks cannot run",
            "set AllowTcpForwarding local in sshd_config",
        )
    return (
        f"sshd does not let this key connect to {address}:{port}",
        f'let it: permitopen="{address}:{port}" before the key in authorized_keys, and AllowTcpForwarding local',
    )
