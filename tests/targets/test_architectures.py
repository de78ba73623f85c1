"""One fleet with amd64 and arm64: each host gets the artifact of its own processor, as its first look tells it."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from reconciler.apply.install import artifact_for, refuse_unfit
from reconciler.artifact.archive import Prepared
from reconciler.cli import main
from reconciler.decide.fleet import next_steps
from reconciler.decide.next_action import next_action
from reconciler.desired_state.load import load
from reconciler.engine.fleet import desired_fleet
from reconciler.errors import ArtifactRefused, InvalidDesiredState
from reconciler.model.action import Blocked, InstallRelease
from reconciler.model.fleet import SeenFleet
from reconciler.model.observed import HostFacts, ObservedHost
from reconciler.targets.open_fleet import OpenFleet, work_out
from reconciler.tools.elf import ElfFile, HostAbi, Requirements
from reconciler.tools.release import Entry

AMD, ARM = (hashlib.sha256(arch.encode()).hexdigest() for arch in ("amd64", "arm64"))
APP = "app: hello\nversion: '1'\nhosts: [a, b]\nports: [4000, 4001]\nrollout: {batch: 100%}\n"
FLEET = "hosts: {a: {address: 192.0.2.1}, b: {address: 192.0.2.2}}\n"
TRAEFIK = FLEET + "traefik: {version: 3.7.15, sha256: %s}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ds/apps").mkdir(parents=True)
    (tmp_path / "ds/fleet.yaml").write_text(FLEET)
    for arch in ("amd64", "arm64"):
        (tmp_path / f"hello-1-{arch}.tar.gz").write_text(arch)
    return tmp_path / "ds"


def write(folder: Path, artifact: str, more: str = "") -> None:
    (folder / "apps/hello.yaml").write_text(f"{APP}artifact: {{{artifact}}}\n{more}")


def opened(folder: Path) -> OpenFleet:
    return asyncio.run(work_out(load(folder), None, None))


def look(host: str, arch: str) -> ObservedHost:
    return ObservedHost(host, HostFacts(now_epoch_seconds=1, memory_available_kib=1 << 20, cores=4, arch=arch))


def steps(folder: Path, **arches: str) -> list[str]:
    """What is done first for hello on each host: the release it gets, or why it gets none."""
    fleet = opened(folder)
    hosts = {host: look(host, arch) for host, arch in arches.items()}
    found = next_steps(desired_fleet(fleet), SeenFleet(hosts))
    alone = {host: next_action(fleet.targets["hello", host].target, seen) for host, seen in hosts.items()}
    shown = []
    for host in arches:
        step = alone[host]
        assert host == "b" or found["hello", host] == step  # the second one waits for the first
        shown.append(
            step.release if isinstance(step, InstallRelease) else step.reason if isinstance(step, Blocked) else ""
        )
    return shown


@pytest.mark.parametrize(
    "artifact",
    [
        'source: "../hello-{version}-{arch}.tar.gz"',
        f'source: "https://example.com/hello-{{machine}}.tar.gz", sha256: {{amd64: {AMD}, arm64: {ARM}}}',
    ],
)
def test_each_host_gets_the_release_for_its_processor(folder: Path, artifact: str) -> None:
    write(folder, artifact)

    assert steps(folder, a="amd64", b="arm64") == [f"1-{AMD[:12]}", f"1-{ARM[:12]}"]
    assert steps(folder, a="arm64", b="amd64") == [f"1-{ARM[:12]}", f"1-{AMD[:12]}"]


def test_a_list_of_digests_has_those_of_both(folder: Path) -> None:
    lines = [f"{digest}  hello-1-{machine}.tgz\n" for digest, machine in ((AMD, "x86_64"), (ARM, "aarch64"))]
    (folder.parent / "SHA256SUMS").write_text("".join(lines))
    write(folder, 'source: "../hello-{version}-{machine}.tgz"')

    assert steps(folder, a="amd64", b="arm64") == [f"1-{AMD[:12]}", f"1-{ARM[:12]}"]


def test_an_archive_that_is_missing_holds_up_its_own_hosts_only(folder: Path) -> None:
    (folder.parent / "hello-1-arm64.tar.gz").unlink()
    write(folder, 'source: "../hello-{version}-{arch}.tar.gz"')

    first, second = steps(folder, a="amd64", b="arm64")

    assert first == f"1-{AMD[:12]}"
    assert "hello-1-arm64.tar.gz is not there" in second


@pytest.mark.parametrize("arch", ["riscv64", ""])
def test_a_host_of_another_processor_is_told_so(folder: Path, arch: str) -> None:
    write(folder, 'source: "../hello-{version}-{arch}.tar.gz"')

    assert steps(folder, a=arch)[0].startswith("the artifact is for amd64 and arm64, and the processor of the host is")


def test_the_archive_of_the_release_is_fetched(folder: Path) -> None:
    write(folder, f'source: "https://example.com/{{arch}}/{{machine}}.tgz", sha256: {{arm64: {ARM}, amd64: {AMD}}}')
    files = opened(folder).targets["hello", "a"]

    found = [artifact_for(files, f"1-{digest[:12]}") for digest in (AMD, ARM)]

    assert [(each.source, each.digest) for each in found] == [
        ("https://example.com/amd64/x86_64.tgz", AMD),
        ("https://example.com/arm64/aarch64.tgz", ARM),
    ]


@pytest.mark.parametrize(
    ("sha256", "first"),
    [(f"{{amd64: {AMD}, arm64: {ARM}}}", {"amd64": AMD, "arm64": ARM}), (AMD, AMD)],
)
def test_traefik_comes_for_both_or_as_ever_for_amd64(folder: Path, sha256: str, first: object) -> None:
    """A fleet.yaml with one digest, as all were, means what it meant."""
    (folder / "fleet.yaml").write_text(TRAEFIK % sha256)
    write(folder, 'source: "../hello-{version}-{arch}.tar.gz"', "route: {domains: [example.com]}\n")

    archive = load(folder).fleet.traefik.archive

    address = "https://github.com/traefik/traefik/releases/download/v{version}/traefik_v{version}_linux_%s.tar.gz"
    if isinstance(first, str):
        assert (archive.source, archive.digest, archive.by_arch) == (address % "amd64", AMD, {})
    else:
        found = {arch: (each.source, each.digest) for arch, each in archive.by_arch.items()}
        assert found == {"amd64": (address % "amd64", AMD), "arm64": (address % "arm64", ARM)}
        target = opened(folder).targets["traefik", "b"].target.on("arm64")
        assert target.release == f"3.7.15-{ARM[:12]}"


@pytest.mark.parametrize(
    ("artifact", "said"),
    [
        (f"source: x, sha256: {{amd64: {AMD}}}", "sha256: has a digest for each architecture"),
        (f'source: "x-{{arch}}", sha256: {AMD}', "sha256: is one digest, but {arch} in source stands for two archives"),
        ('source: "x-{cpu}"', "'{cpu}' is not a placeholder"),
        (f'source: "x-{{arch}}", sha256: {{x86_64: {AMD}}}', "x86_64: is not a key"),
        ('source: "x-{arch}", sha256: {arm64: 12}', "arm64: '12' is not a sha256 digest"),
    ],
)
def test_a_digest_that_fits_no_archive_is_refused(folder: Path, artifact: str, said: str) -> None:
    write(folder, artifact)

    with pytest.raises(InvalidDesiredState) as refused:
        load(folder)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("app", "remedy"), [("hello", "has {arch} in artifact.source"), ("traefik", "write sha256: {amd64: …, arm64: …}")]
)
def test_a_release_for_another_processor_is_refused_with_the_way_out(folder: Path, app: str, remedy: str) -> None:
    (folder / "fleet.yaml").write_text(TRAEFIK % AMD)
    write(folder, "source: ../hello-1-amd64.tar.gz", "route: {domains: [example.com]}\n")
    needs = Requirements((ElfFile("bin/hello", "x86_64"),))
    ready = Prepared(AMD, Path("x"), AMD, 1, 1, (), needs)

    with pytest.raises(ArtifactRefused, match="built for x86_64, the host is aarch64") as refused:
        refuse_unfit(opened(folder).targets[app, "a"], ready, HostAbi("aarch64"), "a")
    assert remedy in refused.value.next_step


def test_a_start_program_that_nobody_may_run_is_refused_before_it_is_sent(folder: Path) -> None:
    """As a tar that was made on Windows has it."""
    write(folder, "source: ../hello-1-amd64.tar.gz", "start: bin/hello\nroute: {domains: [example.com]}\n")
    for mode, refused in ((0o644, True), (0o755, False)):
        ready = Prepared(AMD, Path("x"), AMD, 1, 1, (Entry("bin/hello", "f", mode, AMD),), Requirements(()))
        try:
            refuse_unfit(opened(folder).targets["hello", "a"], ready, HostAbi("x86_64"), "a")
        except ArtifactRefused as error:
            assert (refused, str(error)) == (True, "hello 1 has bin/hello, but not as a file that can be run")
        else:
            assert not refused


def test_a_release_without_its_libraries_on_the_host_is_refused_with_both_ways_out(folder: Path) -> None:
    """Such as a program taken out of a Debian package."""
    write(folder, "source: ../hello-1-amd64.tar.gz", "route: {domains: [example.com]}\n")
    needs = Requirements((ElfFile("bin/hello", "x86_64", libraries=("libatomic.so.1",)),))
    ready = Prepared(AMD, Path("x"), AMD, 1, 1, (), needs)

    with pytest.raises(ArtifactRefused, match="missing libatomic") as refused:
        refuse_unfit(opened(folder).targets["hello", "a"], ready, HostAbi("x86_64", libraries=frozenset(["a"])), "a")
    assert refused.value.next_step == "build it on the host's distribution, or install the libraries there"


def test_set_writes_a_digest_for_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In place of those that are there."""
    old = "0" * 64
    write(folder, f'source: "../hello-{{version}}-{{arch}}.tar.gz", sha256: {{arm64: {old}, amd64: {old}}}')

    assert main(["set", "hello", "1", "--desired-state", "ds"]) == 0
    assert old in (folder / "apps/hello.yaml").read_text()  # the same version, whose digests are decided
    for arch in ("amd64", "arm64"):
        (folder.parent / f"hello-2-{arch}.tar.gz").write_text(arch)
    assert main(["set", "hello", "2", "--desired-state", "ds"]) == 0

    assert f"sha256: {{arm64: {ARM}, amd64: {AMD}}}" in (folder / "apps/hello.yaml").read_text()
    assert f"sha256 {AMD} amd64\nsha256 {ARM} arm64\n" in capsys.readouterr().out
    assert main(["set", "hello", "3", "--sha256", old, "--desired-state", "ds"]) == 2
