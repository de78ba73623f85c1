"""An app, which has no rights, tries to get root's or to harm its neighbours through what is read of it."""

from __future__ import annotations

import pytest

from reconciler.tools import scripts
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project
from tests.hosts.stories.test_story_removed import write

pytestmark = pytest.mark.hosts

STOLEN = "/root/.ssh/authorized_keys2"
# What h11 says of the status line ends in "'))": the made-up name is a folder that the app has filled with links.
PLANT = f"""\
mkdir -p "$STATE_DIRECTORY/x'))"
ln -sf {STOLEN} "$STATE_DIRECTORY/x'))/inventory.new"
echo "ssh-ed25519 AAAA evil" >"$STATE_DIRECTORY/x'))/inventory"
"""


@pytest.fixture
def evil(new_project: NewProject, own: Machine) -> Project:
    """The hostile app, and three others of the same repository on the same host."""
    project = new_project(own)
    for number in (1, 2, 3):
        write(project, f"other{number}", number)
    return project


def test_a_health_answer_is_never_an_app(evil: Project) -> None:
    """Its status line reads like the look's own frame, with a path for a name. Nothing of it is believed or run."""
    evil.converge(env={"RUN_FIRST": PLANT})
    line = f"HTTP/1.1 @@app ../../../../../var/lib/{evil.app}/x"
    evil.commit(env={"RAW_ANSWER": line}, health={"path": "/ping", "healthy_within_seconds": 2})

    first = evil.once()
    plan = evil.plan("--json")
    second = evil.once()

    assert (first.code, second.code) == (1, 1)
    assert "what answers is not HTTP" in first.told
    assert ".." not in first.told + plan.out + second.told
    assert evil.machine.run(f"[ -e {STOLEN} ] || echo absent").stdout == "absent\n"
    assert second.verbs == []  # the bad version is known as bad: it is not tried again
    assert evil.get()[0] == 200


@pytest.mark.parametrize("name", ["../../etc", "x/y", "", "Evil", "-x", "x y", "a" * 32])
def test_root_itself_removes_nothing_by_another_name(shared: Machine, name: str) -> None:
    """The script that root runs refuses what is not the name of an app, whoever asks."""
    folders = ("/srv", "/etc/reconcile", "/etc/systemd/system", "/var/lib/reconcile", "/etc/traefik/dynamic")
    words = (*folders, "1.2.3.4", "0", "me", "-", "-", "-", "hello:", name)
    script = scripts.change_script("remove", "system").text
    quoted = " ".join(f"'{word}'" for word in words)
    before = shared.run("find /etc /srv /var/lib/reconcile ! -path '*/lease*' | sort | sha256sum").stdout

    done = shared.run(f"cat >/run/remove.sh; sh /run/remove.sh {quoted}", stdin=script.encode())

    assert "@@result 77\n" in done.stdout
    assert shared.run("find /etc /srv /var/lib/reconcile ! -path '*/lease*' | sort | sha256sum").stdout == before
