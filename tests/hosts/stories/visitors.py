"""Visitors of a project: 100 requests a second through Traefik, kept and new connections, GET and POST, some slow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.hosts.load import Load, Stream, Target
from tests.hosts.stories.project import Project

SLOW_SECONDS = 3


@contextlib.contextmanager
def visitors(project: Project, per_second: float = 100, slow: bool = True, may_fail: int = 0) -> Iterator[Load]:
    """Load during the block; after it, not one request may have failed, or no more than `may_fail`."""
    streams = [
        Stream("GET kept", per_second / 4, "/"),
        Stream("GET new", per_second / 4, "/", keep_alive=False),
        Stream("POST kept", per_second / 4, "/echo", "POST", body=b"x" * 64),
        Stream("POST new", per_second / 4, "/echo", "POST", keep_alive=False, body=b"x" * 64),
    ]
    if slow:
        streams.append(Stream("slow", 1, f"/slow?seconds={SLOW_SECONDS}"))
    load = Load(Target(project.machine.address, project.domain), streams)
    with load.running():
        yield load
    assert len(load.failures) <= may_fail, load.summary()
    assert load.ended_early == "", load.summary()
    posts = (sample for sample in load.samples if sample.stream.startswith("POST") and sample not in load.failures)
    assert all(sample.body == b"x" * 64 for sample in posts)
