"""An invalid desired state: every problem with its place, exit 2, no host is asked."""

from __future__ import annotations

import socket

import pytest

from tests.hosts.stories.project import Project, nothing_touched

pytestmark = pytest.mark.hosts


def test_bad_yaml_is_refused_before_any_connection(project: Project) -> None:
    """One bad file among good ones: its line and column and the way out are named, no connection is made."""
    project.converge()
    with socket.create_server(("127.0.0.1", 0)) as server:
        project.commit(version="0.2.0", hosts=[project.machine.name, f"127.0.0.1:{server.getsockname()[1]}"])
        bad = project.file.with_name("other.yaml")
        bad.write_text("app: other\nverison: 0.1.0\nversion: 0.1.0\nports: [4000, 4000]\nhosts: [web1]\n")
        project.commit()

        with nothing_touched(project.machine):
            results = [project.run(*words) for words in (["--once"], ["plan"], ["validate"])]

        assert [result.code for result in results] == [2, 2, 2]
        assert {result.err for result in results} == {results[0].err}
        assert results[0].err.splitlines()[:-1] == [
            "desired-state/apps/other.yaml:1:1  artifact: is missing; add it: The release archive and its source.",
            "desired-state/apps/other.yaml:2:1  verison: is not a key; did you mean version?",
            "desired-state/apps/other.yaml:4:15  ports[1]: 4000 is listed twice; delete one of the two",
        ]
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()

    bad.unlink()
    project.commit(hosts=[project.machine.name])
    assert project.once().code == 0
