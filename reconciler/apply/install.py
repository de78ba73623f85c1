"""Installs a release: gets the artifact, checks that it can run on the host, and sends what the host does not have."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

from reconciler.apply.runner import Runner
from reconciler.artifact.archive import Prepared, load_prepared, prepare
from reconciler.artifact.delta import OLDEST_ZSTD, Base, find_base
from reconciler.artifact.part import Part, part_of, whole
from reconciler.artifact.signed import verify_signature
from reconciler.artifact.source import digest_of, fetch, label_of, public_address
from reconciler.clock import sleep_seconds
from reconciler.errors import ArtifactRefused
from reconciler.host.transport import Command, Stdin, Transport
from reconciler.model.action import InstallRelease
from reconciler.model.desired import App, Artifact
from reconciler.model.observed import TRAEFIK, ObservedApp
from reconciler.model.transfer import ReportProgress, Transfer
from reconciler.targets.target_files import TargetFiles
from reconciler.tools import scripts
from reconciler.tools.elf import HostAbi, unmet_needs
from reconciler.tools.look import Reply
from reconciler.tools.offer import Offer, Question
from reconciler.tools.sandbox_hints import needs_to_write_code
from reconciler.tools.start_command import start_program

BLOCK_BYTES = 256 * 1024
SMALL_BYTES = 256 * 1024
SLOWEST_BYTES_PER_SECOND = 50_000  # slower than this counts as a broken connection
SIGN_OF_LIFE_SECONDS = 4  # release.sh renews the lease at each one
FETCH_SECONDS = 900  # limit for a host to download an archive, and again to unpack it
OFFER_SECONDS = 300  # to read all files of the release once
SLOWEST_COPY_BYTES_PER_SECOND = 10_000_000  # on the host
DISK_RESERVE_KIB = 64 * 1024
LARGEST_WASTE_KIB = 4  # a file takes whole blocks, and a folder or a link one
INODE_RESERVE = 1000
NOT_HELD = 74  # held.sh: a file that the host had is damaged or gone


async def install(
    files: TargetFiles,
    action: InstallRelease,
    app: ObservedApp,
    runner: Runner,
    host: Transport,
    report_progress: ReportProgress,
) -> Reply:
    """Install the release on the host, where the app is like this, and return the reply.

    Raises ArtifactError, before anything is sent, if the release cannot run on the host.
    """
    artifact = artifact_for(files, action.release)
    prepared = await load_or_fetch(files, report_progress, action.release)
    assert files.app is not None
    old = [name for name in reversed(app.releases) if name != action.release and name not in app.damaged]
    base = await asyncio.to_thread(find_base, prepared, old, files.app.family)
    offer = await ask_offer(host, files, prepared, base)
    refuse_unfit(files, prepared, offer.abi, host.name)
    base = base.only(offer.held) if base and offer.zstd >= OLDEST_ZSTD else None
    part = await asyncio.to_thread(part_of, prepared, offer.held, base)
    if artifact.fetch == "host" and part.files:
        report_progress("the host is fetching it")
        address = await public_address(artifact.source, files.app.version, files.folder)
        head = whole(prepared).manifest(prepared)
        words = (
            *_words(action, prepared, head, prepared.packed_size),
            prepared.sha256,
            prepared.top_folder or ".",
            str(FETCH_SECONDS),
        )
        stdin = _with_signs_of_life(head + f"{address}\n".encode())
        return await runner.run("fetch", words, stdin, 2 * FETCH_SECONDS + 120)
    reply = await _upload(action, runner, prepared, part, report_progress)
    if reply.status == NOT_HELD and part.held:  # which a delta has as well
        reply = await _upload(action, runner, prepared, whole(prepared), report_progress)
    return reply


async def _upload(
    action: InstallRelease, runner: Runner, prepared: Prepared, part: Part, report_progress: ReportProgress
) -> Reply:
    seconds = 120 + part.packed_size / SLOWEST_BYTES_PER_SECOND + part.held_bytes / SLOWEST_COPY_BYTES_PER_SECOND
    head = part.manifest(prepared)
    stdin: Stdin = _stream(head, part, report_progress)
    if (
        part.packed_size <= SMALL_BYTES
    ):  # what is no stream can be sent again: the host is not sent the scripts that it may have
        report_progress(Transfer("upload", 0, part.packed_size, part.held_bytes))
        stdin = head + await asyncio.to_thread(part.packed.read_bytes)
    old = (part.base.name, part.base.sums_digest) if part.base else ("-", "-")
    return await runner.run("install", (*_words(action, prepared, head), *old), stdin, seconds)


async def ask_offer(host: Transport, files: TargetFiles, prepared: Prepared, base: Base | None) -> Offer:
    """Ask the host what it offers to the programs of the release, and which files it has, of the release and of `base`.

    Raises HostError.
    """
    old = (files.target.app, base.name, base.sums_digest) if base else ("-", "-", "-")
    layout, question = files.site.layout, Question(prepared.sums, base.prepared.sums if base else "")
    command = Command(scripts.plain_script("offer", files.site.spec.scope), (layout.releases, layout.state, *old))
    return question.read((await host.run(command, question.stdin, OFFER_SECONDS)).stdout)


def _words(action: InstallRelease, prepared: Prepared, manifest: bytes, archive_bytes: int = 0) -> tuple[str, ...]:
    """The arguments that both scripts take. `archive_bytes` is room for an archive that the host stores meanwhile."""
    lengths = (len(manifest), len(prepared.sums.encode()), len(prepared.tree.encode()))
    files = len(prepared.entries)
    needed_kib = (prepared.unpacked_size + archive_bytes) // 1024 + files * LARGEST_WASTE_KIB + DISK_RESERVE_KIB
    room = f"{needed_kib}+{files + INODE_RESERVE}"
    mode = "replace" if action.replaces_damaged else "new"
    return (action.app, action.release, *map(str, lengths), room, mode)


def artifact_for(files: TargetFiles, release: str) -> Artifact:
    """Return the artifact of this release: that of the host's architecture, if each has its own."""
    assert files.app is not None
    arch = files.target.arch_of(release)
    return files.app.artifact.by_arch[arch] if arch else files.app.artifact


async def load_or_fetch(files: TargetFiles, report_progress: ReportProgress, release: str = "") -> Prepared:
    """Return the checked release of this target, from the cache or fetched now. Raises ArtifactError.

    The name of the `release` says which one it is, where each architecture has its own.
    """
    app, artifact = files.app, artifact_for(files, release)
    assert app is not None
    source, key, where = artifact.source, artifact.minisign, (app.version, files.folder)
    digest = await digest_of(source, artifact.digest, *where)
    # A prepared release may date from a time when no signature was required; then the archive is checked again.
    if key is None and (ready := await asyncio.to_thread(load_prepared, digest, program=app.family)):
        return ready
    label = label_of(source, *where)
    report_progress(f"fetching {label}")
    path = await fetch(source, digest, *where, lambda done, total: report_progress(Transfer("download", done, total)))
    if key is not None:
        report_progress("checking the signature")
        await verify_signature(source, *where, key, digest, path)
    report_progress("checking the archive")
    return await asyncio.to_thread(prepare, path, digest, label=label, program=app.family)


def _way_out(app: App, machine: str, refusals: Sequence[str]) -> str:
    if not any("built for" in each and each.endswith(f"the host is {machine}") for each in refusals):
        lacks = any(each.startswith("missing ") for each in refusals)
        return "build it on the host's distribution" + (", or install the libraries there" if lacks else "")
    if app.app == TRAEFIK:
        return "write sha256: {amd64: …, arm64: …} below traefik in fleet.yaml, and no source, or one with {arch}"
    return f"build it for {machine}; a fleet of both kinds has {{arch}} in artifact.source (docs/artifacts.md)"


def refuse_unfit(files: TargetFiles, prepared: Prepared, abi: HostAbi, host: str) -> None:
    """Raise ArtifactRefused if the release cannot run on the host, or does not contain the program that starts it."""
    assert files.app is not None
    label = f"{files.app.app} {files.app.version}"
    refusals, _ = unmet_needs(prepared.requirements, abi)
    if refusals:
        raise ArtifactRefused(
            f"{label} cannot run on host {host}: {'; '.join(refusals)}",
            _way_out(files.app, abi.machine, refusals),
        )
    program = start_program(files.app.start_command)
    paths = {entry.path for entry in prepared.entries}
    if program and program not in paths:
        found = ", ".join(prepared.executables[:5]) or "no program in bin/ or at its top"
        raise ArtifactRefused(
            f"{label} has no {program}; it has {found}", f"set start: in apps/{files.app.family}.yaml"
        )
    if program and any(
        entry.path == program and entry.kind == "f" and not entry.mode & 0o100 for entry in prepared.entries
    ):
        raise ArtifactRefused(
            f"{label} has {program}, but not as a file that can be run",
            f"chmod +x {program} before packing; a tar made on Windows has no such modes",
        )
    if runtime := needs_to_write_code(files.app, paths, files.variables):
        raise ArtifactRefused(
            f"{label} starts with {runtime}, which needs memory that it can write and execute; its sandbox denies that",
            f"write sandbox: {{write_execute_memory: true}} in apps/{files.app.family}.yaml",
        )
    if files.app.distribution != "none" and not any(re.fullmatch("erts-[^/]+/bin/epmd", path) for path in paths):
        raise ArtifactRefused(
            f"{label} has no erts-*/bin/epmd, which distribution: {files.app.distribution} needs",
            "build it with include_erts: true, or set distribution: none",
        )


async def _with_signs_of_life(head: bytes) -> AsyncIterator[bytes]:
    """Yield the head, then an empty line every few seconds until closed, so that the host knows we still wait."""
    yield head
    while True:
        await sleep_seconds(SIGN_OF_LIFE_SECONDS)
        yield b"\n"


async def _stream(head: bytes, part: Part, report_progress: ReportProgress) -> AsyncIterator[bytes]:
    yield head
    sent = 0
    with part.packed.open("rb") as file:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            yield block
            sent += len(block)
            report_progress(Transfer("upload", sent, part.packed_size, part.held_bytes))
