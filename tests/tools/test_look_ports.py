"""The addresses of listening sockets, as a shell reads them from the kernel's tables."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess

import pytest

from reconciler.tools.rendering import package_text

SHELL = shutil.which("dash") or "sh"


@pytest.mark.parametrize(
    ("address", "kind"),
    [("127.0.0.1", "0"), ("0.0.0.0", "1"), ("::", "2"), ("::1", "3"), ("127.0.0.2", "3")],
)
def test_a_listener_is_told_by_its_address(address: str, kind: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as stack:
        try:
            listener = stack.enter_context(socket.create_server((address, 0), family=family))
        except OSError:
            pytest.skip(f"no socket can listen on {address} here")
        port = listener.getsockname()[1]
        text = f"{package_text('scripts/running.sh')}\nlook_ports {port}\n"
        shown = subprocess.run([SHELL, "-c", text], capture_output=True, text=True, check=True).stdout

    (line,) = [line for line in shown.splitlines() if line.startswith("listen")]
    assert (line.split()[1], line.split()[4]) == (str(port), kind)
