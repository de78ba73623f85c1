"""What a sandbox denies: seen in a release before it starts, or told by the log of an app that failed."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.desired import App, Sandbox
from reconciler.tools.sandbox_hints import explain_log, needs_to_write_code, warnings

RELEASE = ("bin", "bin/node", "server.js")


def app(start: str = "bin/node server.js", **keys: Any) -> App:
    artifact = {"source": "x"}
    return App.model_validate(
        {"app": "a", "version": "1", "artifact": artifact, "hosts": ["b"], "start": start, **keys}
    )


@pytest.mark.parametrize(
    ("start", "paths", "options", "program"),
    [
        ("bin/node server.js", RELEASE, "", "bin/node"),
        ("./bin/node server.js", RELEASE, "", "bin/node"),
        ("env HOSTNAME=127.0.0.1 bin/node server.js", RELEASE, "", "bin/node"),
        ("bin/node --jitless server.js", RELEASE, "", ""),
        ("bin/node server.js", RELEASE, "--enable-source-maps --jitless", ""),
        ("bin/start", (*RELEASE, "bin/start"), "", ""),  # it may run node for something else, or not at all
        ("node server.js", ("server.js",), "", ""),  # the host's own
    ],
)
def test_a_release_that_starts_with_node_needs_executable_memory(
    start: str, paths: tuple[str, ...], options: str, program: str
) -> None:
    assert needs_to_write_code(app(start), paths, {"NODE_OPTIONS": options}) == program


def test_nothing_is_said_where_the_sandbox_allows_it() -> None:
    allowed = app(sandbox=Sandbox(write_execute_memory=True).model_dump())

    assert (needs_to_write_code(allowed, RELEASE, {}), warnings(allowed, RELEASE)) == ("", ())


def test_a_runtime_anywhere_in_the_release_is_a_warning() -> None:
    way = "needs memory that it can write and execute: write sandbox: {write_execute_memory: true}"

    assert warnings(app("bin/start"), ("bin/start", "jre/bin/java", "lib/node")) == (f"jre/bin/java {way}",)
    assert warnings(app("bin/start"), ("bin/start",)) == ()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("#  Check failed: 12 == (*__errno_location ()).", "write_execute_memory"),
        (
            " 3: 0x28 v8::base::OS::SetPermissions(void*, unsigned long, v8::base::OS::MemoryPermission)",
            "write_execute",
        ),
        ("mprotect(0x7f, 4096, PROT_EXEC) = -1 EPERM (Operation not permitted)", "write_execute_memory"),
        ("MemoryError: Cannot allocate write+execute memory for ffi.callback().", "write_execute_memory"),
        ("preg_match(): Allocation of JIT memory failed, PCRE JIT will be disabled.", "write_execute_memory"),
        ("OSError: [Errno 30] Read-only file system: '/srv/a/cache'", "$STATE_DIRECTORY"),
        ("Error: EROFS: read-only file system, mkdir '/x'", "extra_writable_paths"),
        ("SystemError [ERR_SYSTEM_ERROR]: Unknown system error 97", "address family"),
        ("couldn't get netstats: socket: address family not supported by protocol", "address family"),
        ("Error: listen EPERM: operation not permitted 0.0.0.0:9100", "extra_ports"),
        ("unshare: unshare failed: Operation not permitted", "namespaces"),
        ("listen tcp 127.0.0.1:443: bind: permission denied", "$PORT"),
        ("nginx: [emerg] setgid(33) failed (1: Operation not permitted)", "another user"),
        ("chown: changing ownership of '/var/lib/a': Operation not permitted", "another user"),
        ("open /dev/dri/renderD128: no such file or directory", "devices"),
        ("OSError: [Errno 1] Operation not permitted: '/dev/ttyUSB0'", "devices"),
    ],
)
def test_a_denial_in_the_log_is_explained(line: str, key: str) -> None:
    assert key in explain_log(["app: starts", line])


@pytest.mark.parametrize(
    "line", ["", "cannot reach the database", "Permission denied", "connection refused", "errno 300"]
)
def test_any_other_line_is_not(line: str) -> None:
    assert explain_log([line]) == ""
