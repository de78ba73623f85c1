"""Run a command of reconcile and write what the hosts answered into a file: `… -m tests.bench.fleet.record FILE …`.

Each line is one command or one request to a port, in the order in which they began.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

from reconciler.cli import main
from reconciler.host.ssh import SshHost
from reconciler.host.transport import Command, Completed, OnOutput, Reader, Stdin, Writer

ENTRIES: list[dict[str, Any]] = []
run, connect = SshHost.run, SshHost.connect


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def _run(
    self: SshHost, command: Command, stdin: Stdin = b"", timeout_seconds: float = 60, *,
    on_output: OnOutput | None = None,
) -> Completed:  # fmt: skip
    verb = "" if isinstance(command.script, str) else command.script.verb
    entry: dict[str, Any] = {
        "begins": Command(command.script).loading_line(False, frozenset()),
        "verb": verb if verb in ("look", "await") else "",
        "arguments": command.arguments,
    }
    ENTRIES.append(entry)
    clock = asyncio.get_running_loop().time
    begin = clock()
    completed = await run(self, command, stdin, timeout_seconds, on_output=on_output)
    entry |= {"seconds": clock() - begin, "status": completed.status}
    entry |= {"output": _text(completed.output), "errors": _text(completed.errors)}
    return completed


class _Conversation:
    """A connection to a port: requests without bodies, and the bytes that came back after each."""

    def __init__(self, port: int, reader: Reader, writer: Writer) -> None:
        self.port, self.reader, self.writer = port, reader, writer
        self.entry: dict[str, Any] = {}

    def write(self, data: bytes) -> None:
        if data:  # the end of a request without a body has no bytes
            self.entry = {"port": self.port, "path": data.split(b" ", 2)[1].decode(), "answer": ""}
            ENTRIES.append(self.entry)
        self.writer.write(data)

    async def read(self, n: int = -1) -> bytes:
        data = await self.reader.read(n)
        self.entry["answer"] = _text(base64.b64decode(self.entry["answer"]) + data)
        return data

    async def drain(self) -> None:
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()


async def _connect(self: SshHost, port: int, *more: str) -> tuple[Reader, Writer]:
    conversation = _Conversation(port, *await connect(self, port, *more))
    return conversation, conversation


if __name__ == "__main__":
    SshHost.run = _run  # type: ignore[method-assign]
    SshHost.connect = _connect  # type: ignore[method-assign, assignment]
    code = main(sys.argv[2:])
    Path(sys.argv[1]).write_text("".join(json.dumps(entry) + "\n" for entry in ENTRIES))
    sys.exit(code)
