"""Folders and users that systemd would give to a new app are checked for other owners first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, nothing_touched

pytestmark = pytest.mark.hosts

DATA = "orders of ten years\n"
ADOPT = "adopt {app} gives it to the app and moves /var/lib/{app} to /var/lib/private, where no other user can reach it"

# A service that somebody set up by hand years ago: it keeps its data in a folder of the app's name.
BY_HAND = """\
id -u deployer >/dev/null 2>&1 || useradd -r deployer
mkdir -p /var/lib/{app} && echo 'orders of ten years' >/var/lib/{app}/data && chown -R deployer /var/lib/{app}
printf '[Service]\\nUser=deployer\\nExecStart=sleep infinity\\n' >/etc/systemd/system/{app}-old.service
systemctl daemon-reload && systemctl start {app}-old
"""
AS_THE_SERVICE = "runuser -u deployer -- cat /var/lib/{app}/data"
WHAT_LIES = "stat -c '%n %F %u %i %Z' /var/lib/{app} /var/lib/{app}/data; ls -A /var/lib/private | grep -x {app} || :"

# Each makes one thing that is not ours, and takes it away again. What is named in the reason.
PLACES = {
    "empty folder": ("mkdir /var/lib/{app}", "rmdir /var/lib/{app}", "/var/lib/{app}"),
    "link elsewhere": ("ln -s /mnt /var/lib/{app}", "rm /var/lib/{app}", "/var/lib/{app}"),
    "file": ("touch /var/lib/{app}", "rm /var/lib/{app}", "/var/lib/{app}"),
    "private folder of nobody's": (
        "mkdir -p -m 0700 /var/lib/private && mkdir /var/lib/private/{app}",
        "rmdir /var/lib/private/{app}",
        "/var/lib/private/{app}",
    ),
    "state of another unit": (
        "systemd-run --wait -p DynamicUser=yes -p 'StateDirectory=x {app}' true 2>/dev/null;"
        "printf '[Service]\\nDynamicUser=yes\\nStateDirectory = x {app}\\nExecStart=true\\n'"
        " >/etc/systemd/system/b-{app}.service",
        "rm -r /etc/systemd/system/b-{app}.service",
        "/var/lib/{app}",
    ),
    "socket in /run": (
        "mkdir /run/{app} && touch /run/{app}/sock",
        "rm -r /run/{app}",
        "/run/{app}",
    ),
    "folder in /run of another user": ("mkdir /run/{app} && chown 65531 /run/{app}", "rmdir /run/{app}", "/run/{app}"),
    "user": ("useradd -r -N -g nogroup {app}", "userdel {app}", "a user {app}"),
    "group": ("groupadd {app}", "groupdel {app}", "a group {app}"),
    "releases of another tool": (
        "mkdir -p /srv/{app}/releases/20190101",
        "rm -r /srv/{app}",
        "/srv/{app}/releases",
    ),
}


def run(project: Project, script: str) -> str:
    return project.machine.run(script.replace("{app}", project.app)).stdout


def refused(project: Project, place: str) -> str:
    return (
        f"host {project.keys['hosts'][0]}: {project.app}: {place}: already there, but not created by reconcile; "
        "nothing was changed\n"
    )


@pytest.mark.parametrize("login", ["root", "deploy"])
def test_the_data_of_a_service_set_up_by_hand_stays_where_it_is(new_project: NewProject, login: str) -> None:
    """Refused over both logins, in the plan too; the service reads its data. Adopted, the app gets them."""
    project = new_project()
    project.commit(hosts=[f"{login}@{project.machine.name}"], migrate="bin/app migrate")
    run(project, BY_HAND)
    before = run(project, WHAT_LIES)

    with nothing_touched(project.machine):
        plan, result = project.plan(), project.once()

    assert (plan.code, result.code, result.verbs) == (1, 1, []), f"{plan}{result}"
    assert result.told.startswith(refused(project, f"/var/lib/{project.app}"))
    assert ADOPT.format(app=project.app) in result.told
    assert project.status()["because"].startswith(f"/var/lib/{project.app}: already there")
    assert (run(project, WHAT_LIES), run(project, AS_THE_SERVICE)) == (before, DATA)

    adopted = project.run("adopt", project.app)
    assert adopted.code == 0, str(adopted)
    project.converge()
    assert project.get()[0] == 200
    assert project.run("exec", project.app, "--", "cat", f"/var/lib/{project.app}/data").out == DATA


@pytest.mark.parametrize("kind", PLACES)
def test_a_foreign_folder_or_user_of_the_same_name_is_refused_and_named(project: Project, kind: str) -> None:
    """Nothing is touched; once it is gone the rollout goes through."""
    make, unmake, place = (text.replace("{app}", project.app) for text in PLACES[kind])
    run(project, make)
    project.commit()

    with nothing_touched(project.machine):
        result = project.once()

    assert (result.code, result.verbs) == (1, []), str(result)
    assert result.told.startswith(refused(project, place))
    run(project, unmake)
    project.converge()
    assert project.get()[0] == 200


def test_a_foreign_folder_created_after_the_look_stops_the_start(new_project: NewProject) -> None:
    """Somebody makes it while the release is installed; a migration would take it, too."""
    for migrate in (None, "bin/app migrate"):
        project = new_project(migrate=migrate)
        wait = "until ls /srv/{app}/releases/0* 2>/dev/null; do sleep 0.02; done; mkdir /var/lib/{app}"
        run(project, f"systemd-run --quiet sh -c '{wait}'")
        project.commit()

        result = project.once()

        assert (result.code, result.verbs[0]) == (1, "install"), str(result)
        assert f"/var/lib/{project.app}, which is there and not reconcile's, would be given to the app" in result.told
        assert run(project, "stat -c %F /var/lib/{app}") == "directory\n"
        assert project.once().told.startswith(refused(project, f"/var/lib/{project.app}"))


def test_an_accepted_app_is_not_checked_for_foreign_folders_again(project: Project) -> None:
    """As on hosts where it runs since an older version: a user of its name, and a folder that somebody put back."""
    project.converge()
    run(project, "useradd -r {app}; systemctl stop '{app}@*'")
    run(project, "rm /var/lib/{app} && cp -a /var/lib/private/{app} /var/lib/{app} && rm -r /var/lib/private/{app}")

    project.converge(version="0.2.0")

    assert project.get()[0] == 200


def test_a_removed_app_finds_its_data_when_it_comes_back(new_project: NewProject, own: Machine) -> None:
    """Its data outlive it; the same name finds them again, with nothing to adopt."""
    project = new_project(own, migrate="bin/app migrate")
    project.converge()
    text = project.file.read_text()
    project.file.unlink()
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "away")
    other = project.file.with_name("other.yaml")
    port = project.keys["ports"][0] + 10
    other.write_text(
        text.replace(f'app: "{project.app}"', "app: other")
        .replace(str(project.keys["ports"]), f"[{port}, {port + 1}]")
        .replace(project.domain, "other.test")
        .replace("{version}", "0.1.0")
    )
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "another")
    gone = project.once("--allow-prune")
    assert gone.code == 0, str(gone)
    assert run(project, "readlink /var/lib/{app}; ls -A /var/lib/reconcile").startswith(f"private/{project.app}\n")

    project.write()
    project.converge()

    assert project.run("exec", project.app, "--", "cat", f"/var/lib/{project.app}/migrations").out.count("0.1.0") == 2


def test_exec_leaves_the_state_of_a_hand_written_unit_alone(project: Project) -> None:
    """A hand-written template unit counts as live; exec would move its folder as a start does."""
    port = project.keys["ports"][0]
    run(project, BY_HAND)
    unit = "[Service]\nUser=deployer\nExecStart=sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
    project.machine.write(f"/etc/systemd/system/{project.app}@.service", unit)
    run(project, f"systemctl daemon-reload && systemctl enable --now {{app}}@{port}")
    project.machine.write(f"/etc/reconcile/{project.app}/{port}.env", "# reconcile a-000000000000/b/c\n")
    project.commit()
    before = run(project, WHAT_LIES)

    result = project.run("exec", project.app, "--", "true")

    assert (result.code, f"{project.app} on {project.machine.name} is not managed by reconcile" in result.err) == (
        2,
        True,
    )
    assert (run(project, WHAT_LIES), run(project, AS_THE_SERVICE)) == (before, DATA)
    run(project, f"systemctl disable --now {{app}}@{port}; rm /etc/systemd/system/{{app}}@.service")


@pytest.fixture(scope="module")
def bootstrapped(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    machine = machine_factory("taken")
    yield machine
    farm.remove(machine)


def test_the_deploy_user_cannot_adopt(new_project: NewProject, bootstrapped: Machine) -> None:
    """The same words on a bootstrapped host, where only root adopts; after that the deploy user rolls it out."""
    project = new_project(bootstrapped)
    booted = project.run("bootstrap", bootstrapped.name, "--yes")
    assert booted.code == 0, str(booted)
    project.commit()
    run(project, BY_HAND)
    before = run(project, WHAT_LIES)

    with nothing_touched(bootstrapped):
        result = project.once()

    assert (result.code, result.verbs) == (1, []), str(result)
    assert result.told.startswith(refused(project, f"/var/lib/{project.app}"))
    assert (run(project, WHAT_LIES), run(project, AS_THE_SERVICE)) == (before, DATA)
    assert "log in as root" in project.run("adopt", project.app).err
    fleet = project.file.parent.parent / "fleet.yaml"  # in which bootstrap wrote the deploy user
    fleet.rename(project.folder / "kept")
    project.write(hosts=[f"root@{bootstrapped.name}"])
    adopted = project.run("adopt", project.app, "--working-tree")
    assert adopted.code == 0, str(adopted)
    (project.folder / "kept").rename(fleet)
    project.converge(hosts=[bootstrapped.name])
    assert project.get()[0] == 200
