"""`systemctl` and `journalctl` on the demo's host: passes its arguments to the demo and prints the answer.

A rollout starts `python -I -S shim.py SOCKET PROGRAM WORD …` dozens of times, so it imports as little as possible.
"""

from __future__ import annotations

import json
import socket
import sys


def main(path: str, words: list[str]) -> int:
    """Print the demo's answer and return its exit status."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
            connection.sendall(json.dumps(words).encode())
            connection.shutdown(socket.SHUT_WR)
            status, stdout, stderr = json.loads(connection.makefile("rb").read())
        except (OSError, ValueError) as error:
            print(f"the demo's stand-in for systemd does not answer: {error}", file=sys.stderr)
            return 1
    print("" if "--quiet" in words else stdout, end="")
    print(stderr, end="", file=sys.stderr)
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
