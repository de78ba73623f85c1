"""From a bare server to https: what root does once, and all the rest as the deploy user."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.acme import authority, https_get, missing_programs
from tests.hosts.distribution import available
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.managed import NEWER, OLDER, instances, managed, traefik_of
from tests.hosts.stories.project import Project, command_environ, nothing_touched, yaml
from tests.hosts.stories.small_release import small_release

pytestmark = pytest.mark.hosts

SECRET = 'first "line" $HOME\nsecond'
MAILER = {"start": "sh -c 'test -n \"$PASSWORD\" && exec bin/app work'", "minimum_healthy_seconds": 0}
ASKS = 4  # at a time, while Traefik is upgraded
MOST_FAILED_SHARE = 0.05


@pytest.fixture(params=available(), ids=lambda distribution: distribution.name)
def bare(request: pytest.FixtureRequest, farm: Farm) -> Iterator[Machine]:
    """A server as it was bought."""
    machine = farm.add("whole", distribution=request.param)
    yield machine
    farm.remove(machine)


@contextlib.contextmanager
def visited(machine: Machine, name: str, root: str) -> Iterator[list[str]]:
    """Send https requests during the block; collect the result of each, "200" or an error."""
    answers: list[str] = []
    over = threading.Event()

    def visit() -> None:
        while not over.wait(0.05):
            try:
                answers.append(str(https_get(machine, name, root=root).status))
            except (OSError, IndexError) as error:  # refused, or closed without an answer
                answers.append(repr(error))

    visitors = [threading.Thread(target=visit) for _ in range(ASKS)]
    for each in visitors:
        each.start()
    try:
        yield answers
    finally:
        over.set()
        for each in visitors:
            each.join()


def test_from_a_bare_server_to_https_as_the_deploy_user(
    bare: Machine, farm: Farm, ssh_home: Path, command_cache: Path, tmp_path: Path
) -> None:
    """Bootstrap, Traefik, a certificate, a secret, a new version, a Traefik upgrade; root's login is switched off."""
    if missing := missing_programs():
        (pytest.fail if "RECONCILE_TESTS_SKIP_NOTHING" in os.environ else pytest.skip)(missing)
    project = Project(tmp_path / "project", "small", bare, command_environ(ssh_home, command_cache))
    for version in ("0.1.0", "0.2.0"):
        project.add_artifact(small_release(version), version)
    booted = project.run("bootstrap", bare.name, "--yes")
    assert booted.code == 0, str(booted)
    bare.run("echo 'PermitRootLogin no' >/etc/ssh/sshd_config.d/00-test.conf && systemctl reload ssh")
    with_a_secret(project)
    project.write(
        app="small",
        version="0.1.0",
        artifact={"source": "../build/small-{version}.tar.gz"},
        hosts=[bare.name],
        ports=[4000, 4001],
        start="bin/app start",
        env={"PASSWORD": {"secret": "small/password"}},
        health={"path": "/ping", "healthy_within_seconds": 10, "minimum_healthy_seconds": 0},
        route={"domains": [project.domain]},
        drain_seconds=1,
    )

    with authority(tmp_path / "authority", farm.bridge.address) as ours:
        bare.run("cat >>/etc/ssl/certs/ca-certificates.crt", stdin=ours.own_certificate.read_bytes())
        ours.start(bare.address)
        acme = {"email": "ops@example.com", "ca_server": ours.directory}
        want_traefik(project, OLDER, acme)
        project.converge()
        root = ours.root()
        assert https_get(bare, project.domain, "/env/PASSWORD", root).body == SECRET.encode()
        project.converge(version="0.2.0", processes={"mailer": MAILER})
        with nothing_touched(bare):
            assert project.once().verbs == []
        want_traefik(project, NEWER, acme)
        with visited(bare, project.domain, root) as answers:
            upgraded = project.converge()

    assert upgraded.verbs == ["install", "start", "wait", "enable", "stop"]
    failures = [each for each in answers if each != "200"]
    # In its first moment the new one knows no route yet: a moment that is longer on busy cores.
    assert len(failures) <= MOST_FAILED_SHARE * len(answers), (len(answers), failures)
    assert len(instances(project)) == 1
    assert traefik_of(project).lies()["enabled"] == ["traefik@8081.service"]
    expected = project.one_instance("0.2.0", 4001)
    assert project.running() == expected | {"unit": ["small--mailer@worker.service active", *expected["unit"]]}
    assert project.run("doctor", bare.name).code == 0, str(project.run("doctor", bare.name))


def with_a_secret(project: Project) -> None:
    """Encrypt a secret for the ssh key of the login."""
    folder = project.folder / "desired-state/secrets"
    folder.mkdir(parents=True)
    public = Path(project.environ["HOME"], ".ssh/id_ed25519.pub").read_text()
    (folder / "recipients.txt").write_text(public)
    words = project.words("secrets", "set", "small/password")
    subprocess.run(words, cwd=project.folder, env=project.environ, input=SECRET.encode(), check=True)


def want_traefik(project: Project, version: str, acme: dict[str, str]) -> None:
    """The hosts in fleet.yaml stay as bootstrap wrote them."""
    fleet = project.folder / "desired-state/fleet.yaml"
    hosts = fleet.read_text().partition("traefik:")[0]
    fleet.write_text(f"{hosts}traefik: {yaml(managed(version, acme=acme))}\n")
