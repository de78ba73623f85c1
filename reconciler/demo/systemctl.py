"""The demo's stand-in for systemd: those parts of `systemctl` and `journalctl` that reconcile's scripts use.

The two commands are small programs (shim.py) that send their arguments here over a unix socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from reconciler.demo.instance import Entry, Instance
from reconciler.demo.processes import end_tasks


class Answer(NamedTuple):
    """The exit status and output of a command."""

    status: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass
class Words:
    """A parsed command line."""

    names: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)
    only_values: bool = False
    options: dict[str, str] = field(default_factory=dict)


def read_words(words: list[str]) -> Words:
    """Parse names and the options that take a value. The others only change the formatting and are ignored."""
    read, rest = Words(), iter(words)
    for word in rest:
        if word in ("-p", "-P"):
            read.properties += next(rest, "").split(",")
            read.only_values = read.only_values or word == "-P"
        elif word in ("-s", "-u", "-n", "-o", "--since"):
            read.options[word] = next(rest, "")
        elif word.startswith("--cursor-file="):
            read.options["--cursor-file"] = word.partition("=")[2]
        elif not word.startswith("-"):
            read.names.append(word)
    return read


@dataclass
class Systemd:
    """The units of one folder, each with its instance."""

    units: Path
    programs: str = ""
    instances: dict[str, Instance] = field(default_factory=dict)
    _starting: set[asyncio.Future[bool]] = field(default_factory=set)

    def instance(self, name: str) -> Instance:
        return self.instances.setdefault(name, Instance(name, self.units, self.programs))

    async def answer(self, program: str, words: list[str]) -> Answer:
        """Carry out a command and return the answer that the real one would give, as far as the scripts need it."""
        read = read_words(words)
        if program == "journalctl":
            return self._journal(read)
        if words == ["--version"]:
            return Answer(0, "systemd 252 (252)\n")
        verb, *names = read.names or [""]
        if verb == "daemon-reload":  # a unit file is read at each start
            return Answer()
        if verb == "list-units":
            return Answer(0, "".join(f"{name}\n" for name in sorted(self.instances) if self._is_listed(name, names)))
        if verb == "show":
            shown = [each for name in names for each in self._named(name)]
            blocks = [_show_text(self.instance(name), read) for name in shown]
            return Answer(0, "\n".join(blocks))
        if "--no-block" in words:
            self._starting |= {asyncio.ensure_future(self.instance(name).start()) for name in names}
            return Answer()
        for name in names:
            answer = await self._one(verb, self.instance(name), read)
            if answer.status or answer.stdout:
                return answer
        return Answer() if names else Answer(1, "", f"{verb}: which unit?\n")

    def _named(self, name: str) -> list[str]:
        """The units that a word of `show` names: itself, or those that are known already if it is a pattern."""
        is_pattern = any(sign in name for sign in "*?[")
        return fnmatch.filter(sorted(self.instances), name) if is_pattern else [name]

    def _is_listed(self, name: str, patterns: list[str]) -> bool:
        """True if the unit runs and is named by one of the patterns; all that is ever asked for."""
        runs = self.instances[name].state in ("active", "activating", "deactivating")
        return runs and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    async def _one(self, verb: str, instance: Instance, read: Words) -> Answer:  # noqa: C901 - one line a verb
        match verb:
            case "is-active":
                return Answer(0 if instance.state == "active" else 3, f"{instance.state}\n")
            case "is-enabled":
                return Answer(0, "enabled\n") if self._links(instance) else Answer(1, "disabled\n")
            case "stop":
                await instance.stop()
            case "kill":
                instance.kill(signal.Signals[f"SIG{read.options.get('-s', 'TERM').removeprefix('SIG')}"])
            case "reset-failed":
                instance.reset_failed()
            case "disable":
                for link in self._links(instance):
                    link.unlink()
            case _ if not instance.file.exists():
                return Answer(5, "", f"Failed to {verb} {instance.name}: Unit {instance.name} not found.\n")
            case "start":
                return _start_answer(await instance.start(), instance)
            case "restart":
                await instance.stop()
                return _start_answer(await instance.start(), instance)
            case "enable":
                self._enable(instance)
            case _:
                return Answer(1, "", f"the demo's systemctl does not know {verb}\n")
        return Answer()

    def _links(self, instance: Instance) -> list[Path]:
        return [*self.units.glob(f"*.wants/{instance.name}")]

    def _enable(self, instance: Instance) -> None:
        for target in instance.wanted_by:
            link = self.units / f"{target}.wants" / instance.name
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(instance.file)

    def _journal(self, read: Words) -> Answer:
        """Return a unit's journal: with `-u UNIT` its own lines and systemd's, with `_SYSTEMD_UNIT=UNIT` its own."""
        own = [name.removeprefix("_SYSTEMD_UNIT=") for name in read.names if name.startswith("_SYSTEMD_UNIT=")]
        instance = self.instances.get(read.options.get("-u") or (own or [""])[0])
        since = float(read.options.get("--since", "@0").removeprefix("@"))
        entries = [entry for entry in instance.journal if entry.at_epoch_seconds >= since] if instance else []
        if cursor := read.options.get("--cursor-file"):
            entries = _after_cursor(entries, Path(cursor))
        lines = [entry.text for entry in entries if entry.own or not own][-int(read.options.get("-n", "1000")) :]
        return Answer(0, "".join(f"{line}\n" for line in lines))

    async def end(self) -> None:
        """Stop all units at once, without a drain: the demo has no visitors any more."""
        await asyncio.gather(*(instance.stop(softly=False) for instance in self.instances.values()))


def _after_cursor(entries: list[Entry], file: Path) -> list[Entry]:
    """Return those that came after what the file names, and let it name the last one."""
    last = float(file.read_text()) if file.exists() else 0.0
    later = [entry for entry in entries if entry.at_epoch_seconds > last]
    if later:
        file.write_text(repr(later[-1].at_epoch_seconds))
    return later


def _start_answer(started: bool, instance: Instance) -> Answer:
    return Answer() if started else Answer(1, "", f"Job for {instance.name} failed: {instance.journal[-1].text}\n")


def _show_text(instance: Instance, read: Words) -> str:
    shown = {key: value for key, value in instance.show().items() if not read.properties or key in read.properties}
    return "".join(f"{value}\n" if read.only_values else f"{key}={value}\n" for key, value in shown.items())


@contextlib.asynccontextmanager
async def run_systemd(units: Path, socket: Path, programs: str = "") -> AsyncIterator[Systemd]:
    """Run the stand-in during the block, and stop all its processes at the end. Its commands are in `programs`."""
    running = Systemd(units, programs)

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            program, *words = json.loads(await reader.read())
            writer.write(json.dumps(await running.answer(program, words)).encode())
            await writer.drain()
        writer.close()

    def take_question(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(reply(reader, writer))
        replies.add(task)
        task.add_done_callback(replies.discard)

    replies: set[asyncio.Task[None]] = set()
    server = await asyncio.start_unix_server(take_question, socket)
    try:
        yield running
    finally:
        server.close()
        await end_tasks(replies)
        await running.end()
