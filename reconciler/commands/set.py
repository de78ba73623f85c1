"""`reconcile set APP VERSION`: the next version in an app's file, and its digest. People commit it."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from pathlib import Path

from pydantic_core import PydanticCustomError

from reconciler.edit import SHA256_KEY, SOURCE_KEY, VERSION_KEY, AppText, open_app, write_version
from reconciler.errors import UsageError
from reconciler.model.fields import Text, shown
from reconciler.model.values import SHA256, VERSION

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def run(args: argparse.Namespace) -> int:
    """Writes the file, or raises before anything is written."""
    sha256: str | None = getattr(args, "sha256", None)
    _check(VERSION, "version", args.version)
    if sha256 is not None:
        _check(SHA256, "--sha256", sha256)
    app = open_app(args.desired_state, args.app_name)
    old = app.value(VERSION_KEY)
    digest = _digest(app, args.version, sha256)
    before = app.text
    now = write_version(app, args.version, digest)
    changed = (app.folder / app.key).read_bytes() != before.encode("utf-8")
    if args.json:
        report = {
            "app": now.app,
            "file": app.document.file,
            "from": old,
            "to": now.version,
            "changed": changed,
        }
        print(json.dumps(report | {"sha256": now.artifact.sha256}, indent=2, ensure_ascii=False))
    elif changed:
        print(f"{now.app}: {old} → {now.version} in {app.document.file}")
        print(f"next: git commit -m '{now.app} {now.version}' {app.document.file}")
    else:
        print(f"{now.app} is at {now.version} already in {app.document.file}")
    return 0


def _check(shape: Text, what: str, value: str) -> None:
    try:
        shape.read(value)
    except PydanticCustomError as error:
        raise UsageError(f"{what} {error.message()}", str((error.context or {}).get("next_step", ""))) from None


def _digest(app: AppText, version: str, given: str | None) -> str | None:
    """The digest to write: the given one, else that of the local archive if the file names one."""
    if given is not None:
        return given.lower()
    if SHA256_KEY not in app.document.places:
        return None
    source = (app.value(SOURCE_KEY) or "").replace("{version}", version)
    if not source or _REMOTE.match(source):
        if version == app.value(VERSION_KEY):
            return None
        raise UsageError(
            f"{app.document.file} pins a sha256, and the one of {version} is not known here",
            f"pass --sha256, as printed by sha256sum for {shown(source)}",
        )
    return _digest_of(app.folder / source, version)


def _digest_of(archive: Path, version: str) -> str:
    try:
        with archive.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        next_step = "build it first, or pass --sha256"
        raise UsageError(f"the archive of {version}, {archive}, cannot be read: {error.strerror}", next_step) from error
