"""tools/elf.py: what the programs of a release need, read from real files, and what a host does not offer."""

from __future__ import annotations

import os
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.tools.elf import ElfFile, HostAbi, Requirements, read_elf, unmet_needs

LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = frozenset({"libc.so.6", "libm.so.6", "libtinfo.so.6", "libstdc++.so.6", "ld-linux-x86-64.so.2"})
HOST = HostAbi("x86_64", "glibc 2.36", LIBRARIES, "3.4.30")
BEAM = ElfFile(
    "erts-13.1.5/bin/beam.smp",
    "x86_64",
    LOADER,
    libraries=("libtinfo.so.6", "libstdc++.so.6", "libc.so.6"),
    versions=(("libc.so.6", "GLIBC_2.34"), ("libstdc++.so.6", "GLIBCXX_3.4.29")),
)
EPMD = ElfFile("erts-13.1.5/bin/epmd", "x86_64", LOADER, libraries=("libsystemd.so.0", "libc.so.6"))
NIF = ElfFile("lib/crypto-5.1/priv/lib/crypto.so", "x86_64", libraries=("libcrypto.so.3",))


def needs(*files: ElfFile, shipped: tuple[str, ...] = ()) -> Requirements:
    return Requirements(files, shipped)


def real_program() -> bytes:
    return Path("/bin/true").read_bytes()


def test_a_real_program_says_its_machine_loader_and_libraries() -> None:
    elf = read_elf("bin/true", real_program())

    assert elf and elf.readable
    assert (elf.interpreter.startswith("/lib"), "libc.so.6" in elf.libraries) == (True, True)
    assert elf.machine == os.uname().machine
    assert any(library == "libc.so.6" and version.startswith("GLIBC_2.") for library, version in elf.versions)


def test_every_shared_object_of_this_python_can_be_read() -> None:
    """The interpreter and its modules: many files of one linker, none of them unreadable."""
    import _ctypes
    import _ssl

    files = [Path(module.__file__ or "") for module in (_ctypes, _ssl)] + [Path(sys.executable).resolve()]
    read = [read_elf(path.name, path.read_bytes()) for path in files if path.is_file()]

    assert [elf for elf in read if elf is None or not elf.readable] == []


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fEL", b"\x7fELF", b"MZ" + bytes(100)])
def test_a_file_that_is_not_elf_has_no_needs(content: bytes) -> None:
    assert read_elf("x", content) is None


@pytest.mark.parametrize("size", [20, 63, 64, 200, 1000, 5000])
def test_a_truncated_program_still_names_its_machine(size: int) -> None:
    elf = read_elf("bin/true", real_program()[:size])

    assert elf and elf.machine and not elf.readable
    assert unmet_needs(needs(elf), replace(HOST, machine=elf.machine)) == (
        (),
        ("true could not be read, so its needs are unknown",),
    )


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6))
def test_no_bytes_make_the_reader_raise(patches: list[tuple[int, bytes]]) -> None:
    content = bytearray(real_program())
    for offset, patch in patches:
        content[offset : offset + len(patch)] = patch

    elf = read_elf("x", bytes(content))

    assert elf is None or all(text.isprintable() for text in (*elf.libraries, elf.interpreter, elf.soname))


def test_a_patched_machine_is_refused() -> None:
    content = bytearray(real_program())
    struct.pack_into("<H", content, 18, 183 if read_machine(content) != 183 else 62)
    elf = read_elf("bin/true", bytes(content))
    assert elf

    refusals, _ = unmet_needs(needs(elf), HostAbi("riscv64"))

    assert refusals == (f"true is built for {elf.machine}, the host is riscv64",)


def read_machine(content: bytearray) -> int:
    return int(struct.unpack_from("<H", content, 18)[0])


def test_a_patched_glibc_version_is_refused() -> None:
    """GLIBC_2.34 in the bytes becomes GLIBC_2.99, as if built on a newer distribution."""
    elf = read_elf("bin/true", real_program())
    assert elf
    highest = max(
        (version for _, version in elf.versions if version.startswith("GLIBC_2.")),
        key=lambda version: [int(part) for part in version[6:].split(".")],
    )
    spoiled = read_elf("bin/true", real_program().replace(highest.encode() + b"\0", b"GLIBC_2.99\0"))
    assert spoiled

    refusals, warnings = unmet_needs(needs(spoiled), HostAbi(elf.machine, "glibc 2.36"))

    assert (refusals, warnings) == (("true needs GLIBC_2.99, the host has 2.36",), ())


def test_a_release_that_fits_is_neither_refused_nor_warned_about() -> None:
    assert unmet_needs(needs(BEAM), HOST) == ((), ())


def test_another_machine_refuses_once_with_the_number_of_files() -> None:
    files = [replace(BEAM, path=f"erts-13/bin/p{number}", machine="aarch64") for number in range(17)]

    assert unmet_needs(needs(*files), HOST) == (("17 files are built for aarch64, the host is x86_64",), ())


def test_an_erlang_runtime_for_another_machine_is_refused_though_other_files_fit() -> None:
    refusals, _ = unmet_needs(needs(replace(BEAM, machine="aarch64"), EPMD, replace(BEAM, path="bin/x")), HOST)

    assert refusals == ("beam.smp is built for aarch64, the host is x86_64",)


def test_a_bundle_for_several_machines_is_only_warned_about() -> None:
    refusals, warnings = unmet_needs(needs(BEAM, ElfFile("prebuilds/arm64/x.node", "aarch64")), HOST)

    assert (refusals, warnings) == ((), ("x.node is built for aarch64, the host is x86_64",))


@pytest.mark.parametrize(
    ("machine", "host"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("i386", "i686"), ("arm", "armv7l")]
)
def test_one_machine_has_many_names(machine: str, host: str) -> None:
    assert unmet_needs(needs(ElfFile("bin/app", machine)), HostAbi(host)) == ((), ())


def test_an_older_libc_or_libstdcxx_is_refused_with_both_versions() -> None:
    refusals, _ = unmet_needs(needs(BEAM), HostAbi("x86_64", "glibc 2.31", LIBRARIES, "3.4.28"))

    assert refusals == (
        "beam.smp needs GLIBC_2.34, the host has 2.31",
        "beam.smp needs GLIBCXX_3.4.29, the host has 3.4.28",
    )


def test_versions_are_compared_as_numbers() -> None:
    old = replace(BEAM, versions=(("libc.so.6", "GLIBC_2.9"), ("libc.so.6", "GLIBC_PRIVATE")))

    assert unmet_needs(needs(old), HOST) == ((), ())


def test_missing_libraries_are_refused_for_the_runtime_and_warned_about_for_its_helpers() -> None:
    beam = replace(BEAM, libraries=("libtinfo.so.5", "libc.so.6"))

    assert unmet_needs(needs(beam, EPMD, NIF), HOST) == (
        ("missing libtinfo.so.5 (needed by beam.smp)",),
        ("missing libcrypto.so.3 (needed by crypto.so)", "missing libsystemd.so.0 (needed by epmd)"),
    )


def test_a_library_in_the_release_counts_as_there_with_its_own_needs() -> None:
    app = ElfFile("bin/app", "x86_64", LOADER, libraries=("libfoo.so.1",))
    foo = ElfFile("lib/libfoo.so.1", "x86_64", soname="libfoo.so.1", libraries=("libbar.so.2",))

    assert unmet_needs(needs(app, foo, shipped=("libfoo.so.1",)), HOST) == (
        ("missing libbar.so.2 (needed by libfoo.so.1)",),
        (),
    )


def test_a_library_that_its_own_search_path_may_have_only_warns() -> None:
    app = ElfFile("bin/app", "x86_64", LOADER, runpath="/opt/lib:$ORIGIN", libraries=("libfoo.so.1",))

    assert unmet_needs(needs(app), HOST) == ((), ("missing libfoo.so.1 (needed by app)",))


def test_libraries_in_the_release_are_followed_as_deep_as_they_go() -> None:
    app = ElfFile("bin/app", "x86_64", LOADER, libraries=("liba.so",))
    a = ElfFile("lib/liba.so", "x86_64", libraries=("libb.so",))
    b = ElfFile("lib/libb.so", "x86_64", libraries=("libnone.so",))

    assert unmet_needs(needs(app, a, b, shipped=("liba.so", "libb.so")), HOST) == (
        ("missing libnone.so (needed by libb.so)",),
        (),
    )


def test_the_version_of_a_library_in_the_release_is_not_asked_of_the_host() -> None:
    old = HostAbi("x86_64", "glibc 2.36", LIBRARIES, "3.4.20")

    assert unmet_needs(needs(BEAM, shipped=("libstdc++.so.6",)), old) == ((), ())


def test_programs_for_several_machines_side_by_side_are_only_warned_about() -> None:
    fits, other = ElfFile("bin/app-amd64", "x86_64"), ElfFile("bin/app-arm64", "aarch64")

    assert unmet_needs(needs(fits, other), HOST) == ((), ("app-arm64 is built for aarch64, the host is x86_64",))
    assert unmet_needs(needs(other), HOST) == (("app-arm64 is built for aarch64, the host is x86_64",), ())


def test_musl_and_glibc_refuse_each_other() -> None:
    musl = ElfFile("bin/app", "x86_64", "/lib/ld-musl-x86_64.so.1", libraries=("libc.musl-x86_64.so.1",))

    assert unmet_needs(needs(musl), HOST) == (("app is built for musl, the host has glibc 2.36",), ())
    assert unmet_needs(needs(BEAM), HostAbi("x86_64", "musl 1.2.4")) == (
        ("beam.smp is built for glibc, the host has musl 1.2.4",),
        (),
    )


def test_a_loader_from_an_unusual_place_is_warned_about() -> None:
    nix = ElfFile("bin/app", "x86_64", "/nix/store/abc-glibc/lib/ld-linux-x86-64.so.2")

    assert unmet_needs(needs(nix), HOST)[1] == (
        "app asks for the loader /nix/store/abc-glibc/lib/ld-linux-x86-64.so.2, which most hosts do not have",
    )


def test_unknown_facts_never_refuse_a_release() -> None:
    assert unmet_needs(needs(BEAM, EPMD, NIF), HostAbi()) == ((), ())
    assert unmet_needs(needs(ElfFile("bin/app", readable=False)), HOST)[0] == ()
    assert unmet_needs(needs(), HOST) == ((), ())
