"""`reconcile set APP VERSION`: write the next version and its digest into an app's file, for the operator to commit."""

from __future__ import annotations

import asyncio
import json
import sys

from pydantic_core import PydanticCustomError

from reconciler.desired_state.set_version import (
    SHA256_KEY,
    SOURCE_KEY,
    VERSION_KEY,
    AppText,
    declared_in,
    open_app,
    write_version,
)
from reconciler.engine.progress import Progress
from reconciler.errors import ArtifactError, ArtifactUnavailable, UsageError
from reconciler.logs import log
from reconciler.model.fields import Text
from reconciler.model.options import Options
from reconciler.model.source import MACHINES, LocalFile, NotASource, differs_by_arch, fill_in_arch, read_source
from reconciler.model.transfer import Transfer
from reconciler.model.values import SHA256, VERSION
from reconciler.terminal import can_redraw


def run(options: Options) -> int:
    """Write the file and return 0, or raise before anything is written."""
    sha256: str | None = getattr(options, "sha256", None)
    if bool(options.version) == bool(options.from_environment):
        message = "version and --from contradict each other" if options.version else "version is missing"
        raise UsageError(message, "reconcile set my_app 1.2.0, or reconcile set my_app --from staging")
    if sha256 is not None:
        _check_value(SHA256, "--sha256", sha256)
    app = open_app(options.desired_state, options.app_name, options.environment)
    old = app.value(VERSION_KEY)
    version, digest = options.version, None
    if options.from_environment:
        version, digest = declared_in(app, options.from_environment)
    _check_value(VERSION, "version", version)
    if sha256 or digest is None:
        digest = _given_digest(app, sha256) if sha256 else _find_digest(app, version)
    before = app.text
    now = write_version(app, version, digest)
    changed = (app.folder / app.key).read_bytes() != before.encode("utf-8")
    if options.json:
        report = {
            "app": now.app,
            "file": app.document.file,
            "from": old,
            "to": now.version,
            "changed": changed,
        }
        written = now.artifact.model_dump()["sha256"]
        print(json.dumps(report | {"sha256": written}, indent=2, ensure_ascii=False))
    elif changed:
        print(f"{now.app}: {old} → {now.version} in {app.document.file}")
        written = now.artifact.model_dump()["sha256"]
        for arch, each in written.items() if isinstance(written, dict) else [("", written)]:
            if each:
                print(f"sha256 {each} {arch}".rstrip())
        print(f"next: git commit -m '{now.app} {now.version}' {app.document.file}")
    else:
        print(f"{now.app} is already at {now.version} in {app.document.file}")
    return 0


def _check_value(shape: Text, what: str, value: str) -> None:
    try:
        shape.read(value)
    except PydanticCustomError as error:
        raise UsageError(f"{what} {error.message()}", str((error.context or {}).get("next_step", ""))) from None


def _given_digest(app: AppText, sha256: str) -> str:
    if differs_by_arch(app.value(SOURCE_KEY) or ""):
        raise UsageError("--sha256 is one digest, and the source has {arch}", "leave it out, or write both by hand")
    return sha256.lower()


def _find_digest(app: AppText, version: str) -> str | dict[str, str] | None:
    """Return the sha256 of the artifact at its source, or that of each architecture.

    None means: leave the key out, or as it is.
    """
    pinned = app.pins_digest
    source = app.value(SOURCE_KEY) or ""
    if not source or (pinned and version == app.value(VERSION_KEY)):
        return None
    try:
        published = not isinstance(read_source(source, version), LocalFile)
    except NotASource:
        return None  # write_version reports it with its position, before it writes anything
    if not pinned and not published:
        return None  # the path of a local file already determines its bytes
    try:
        if not differs_by_arch(source):
            return asyncio.run(_measure_digest(app, source, version))
        written = [arch for arch in MACHINES if (*app.at, *SHA256_KEY, arch) in app.document.places]
        return {
            arch: asyncio.run(_measure_digest(app, fill_in_arch(source, arch), version)) for arch in written or MACHINES
        }
    except ArtifactError as error:
        if pinned or not isinstance(error, ArtifactUnavailable):
            raise UsageError(
                f"the sha256 of {version} is not known: {error}", f"{error.next_step}; or pass --sha256"
            ) from error
        print(f"no sha256 written: {error}", file=sys.stderr)
        return None


async def _measure_digest(app: AppText, source: str, version: str) -> str:
    from reconciler.artifact.source import label_of, measure

    progress = Progress(log, terminal=can_redraw(sys.stderr))
    report = progress.reporter("", label_of(source, version, app.folder))
    try:
        return await measure(source, version, app.folder, lambda done, total: report(Transfer("read", done, total)))
    finally:
        progress.close()
