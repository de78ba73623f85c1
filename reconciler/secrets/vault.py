"""Looks up the value of a secret by its name. The first place that has it counts, even if it cannot be opened there.

1. `secrets/<name>.age` of the desired state, from the same commit as everything else
2. a SOPS file of the desired state: `my_app/db/password` is `db: {password: …}` in `secrets/my_app.yaml`
3. the command of this controller
4. its environment: RECONCILE_SECRET_<NAME>
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from pydantic_core import PydanticCustomError

from reconciler.desired_state.files import SECRETS
from reconciler.errors import ReconcileError, SecretError, SecretMissing, SecretRefused
from reconciler.model.values import env_text
from reconciler.secrets import command
from reconciler.secrets.identities import Keys, find_keys
from reconciler.secrets.sealed import unseal
from reconciler.secrets.sops import SopsFile

SOPS_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class SopsPlace:
    """The place of a secret: a SOPS file, and the keys in it."""

    path: str
    keys: tuple[str, ...]


def variable_name(name: str) -> str:
    """Return the environment variable that may hold a secret."""
    return "RECONCILE_SECRET_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def strip_line_end(output: bytes) -> bytes:
    """Return `output` without the line end of a single line, which programs add. Several lines are kept as they are."""
    line, end, more = output.partition(b"\n")
    return line.removesuffix(b"\r") if end and not more else output


class Vault:
    """The secrets of one desired state that this controller can read. Each pass makes a new one, so nothing is kept."""

    def __init__(self, files: Mapping[str, bytes], environ: Mapping[str, str] | None = None) -> None:
        self.files = files
        self.environ = os.environ if environ is None else environ
        self._sops: dict[str, SopsFile] = {}
        self._opened: dict[str, Mapping[tuple[str, ...], str] | SecretError] = {}

    @cached_property
    def keys(self) -> Keys:
        return find_keys(self.environ)

    async def read_all(self, names: Iterable[str]) -> Callable[[str], str]:
        """Look up each name once. Return a function that returns a name's value, or raises the error of its lookup."""
        wanted = sorted(set(names))
        results = dict(
            await asyncio.to_thread(lambda: [(name, _try_look(self._read_from_files, name)) for name in wanted])
        )
        absent = [name for name, result in results.items() if result is None]
        asked = await asyncio.gather(*(asyncio.to_thread(_try_look, self._read_from_here, name) for name in absent))
        results |= dict(zip(absent, asked, strict=True))

        def answer(name: str) -> str:
            result = results[name]
            if isinstance(result, ReconcileError):
                raise result
            assert result is not None
            return _text(result, name)

        return answer

    def age_file(self, name: str) -> str | None:
        """Return the path of a secret's age file, or None."""
        path = f"{name}.age"
        return path if path in self.files else None

    def sops_place(self, name: str) -> SopsPlace | None:
        """Return the place of a secret in the SOPS files, or None. Raises SecretRefused if they cannot be read."""
        parts = name.split("/")
        for length in range(len(parts) - 1, 0, -1):
            paths = self._stems.get("/".join(parts[:length]), [])
            if len(paths) > 1:
                raise SecretRefused(
                    f"{_secret_path(paths[0])} and {_secret_path(paths[1])} have the same name", "keep one of them"
                )
            for path in paths:
                if tuple(parts[length:]) in self.sops_file(path).names:
                    return SopsPlace(path, tuple(parts[length:]))
        return None

    def sops_file(self, path: str) -> SopsFile:
        """Return the SOPS file at `path`. Raises SecretRefused."""
        if path not in self._sops:
            self._sops[path] = SopsFile.read(self.files[path], _secret_path(path))
        return self._sops[path]

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        """The SOPS files by the prefix of their secrets' names."""
        stems: dict[str, list[str]] = {}
        for path in sorted(self.files):
            if path.endswith(SOPS_SUFFIXES):
                stems.setdefault(stem_of(path), []).append(path)
        return stems

    def _read_from_files(self, name: str) -> bytes | None:
        if path := self.age_file(name):
            return unseal(self.files[path], self.keys, _secret_path(path))
        place = self.sops_place(name)
        if place is None:
            return None
        if place.path not in self._opened:
            try:
                self._opened[place.path] = self.sops_file(place.path).open(self.keys)
            except SecretError as error:
                self._opened[place.path] = error
        values = self._opened[place.path]
        if isinstance(values, SecretError):
            raise values
        return values[place.keys].encode()

    def _read_from_here(self, name: str) -> bytes:
        words = command.command_of(self.environ)
        output = command.ask(words, name) if words else None
        if output is not None:
            return strip_line_end(output)
        value = self.environ.get(variable_name(name))
        if value is None:
            why = f" ({words[0]} is not installed here)" if words else ""
            next_step = f"reconcile secrets set {name}, or set {variable_name(name)} in the environment of reconcile"
            raise SecretMissing(f"the secret {name} is not known{why}", next_step)
        return os.fsencode(value)


def stem_of(path: str) -> str:
    """Return the prefix of the secrets' names: `prod` for prod.yaml, prod.sops.yaml and prod.enc.json."""
    stem = str(PurePosixPath(path).with_suffix(""))
    return re.sub(r"\.(sops|enc)$", "", stem)


def _secret_path(path: str) -> str:
    return f"{SECRETS}/{path}"


def _text(value: bytes, name: str) -> str:
    try:
        return env_text(value.decode())
    except UnicodeDecodeError:
        raise SecretRefused(f"the secret {name} is not UTF-8 text", "encode it, for example with base64") from None
    except PydanticCustomError as error:
        next_step = str((error.context or {}).get("next_step", ""))
        raise SecretRefused(f"the secret {name} {error.message()}", next_step) from None


def _try_look(look: Callable[[str], bytes | None], name: str) -> bytes | ReconcileError | None:
    try:
        return look(name)
    except ReconcileError as error:
        return error
