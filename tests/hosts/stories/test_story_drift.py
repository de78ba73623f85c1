"""A manual change on the host is reverted in one pass, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts.stories.conftest import NewProject, end_units
from tests.hosts.stories.project import Project, changed_lines, wait_for
from tests.hosts.stories.visitors import visitors

pytestmark = pytest.mark.hosts

FILES = """\
cd / && sha256sum etc/systemd/system/*.service etc/reconcile/*/*.env
for file in etc/traefik/dynamic/*.yml; do  # without the number of the write
  echo "$file" "$(sed 's/ attempt=[0-9]*$//; s/\\(-route-[^-]*-[0-9a-f]*\\)-[0-9]*/\\1/' "$file" | sha256sum)"
done
find etc/systemd/system etc/traefik/dynamic etc/reconcile -printf '%p %m %U %l\\n' | grep -v /.stage
find srv/*/slots srv/*/releases -maxdepth 1 -printf '%p %m %U %l\\n'
"""
INSTANCES = (
    "systemctl show -p Id -p InvocationID -p ActiveState '*@*.service' | grep . | paste -d' ' - - - | grep -v Id=user"
)


@pytest.fixture(scope="module")
def _drifting() -> Iterator[list[Project]]:
    projects: list[Project] = []
    yield projects
    end_units(projects)


@pytest.fixture
def drifting(new_project: NewProject, _drifting: list[Project]) -> Project:
    """One app for all these stories, beside a neighbour: each leaves it as it was, or fails."""
    while len(_drifting) < 2:
        _drifting.append(new_project(stays=True))
        _drifting[-1].converge()
    return _drifting[0]


def heal(project: Project, damage: str, *, restarts: bool) -> list[str]:
    """Do the damage, run one pass; files are as before, and no instance was restarted that need not be. The actions."""
    port, other = project.keys["ports"]
    app = project.app
    machine = project.machine
    files, instances = machine.run(FILES).stdout, machine.run(INSTANCES).stdout
    machine.run(damage.format(app=app, port=port, other=other))

    result = project.once()

    assert result.code == 0, str(result)
    assert changed_lines(files, machine.run(FILES).stdout) == []
    changed = changed_lines(instances, machine.run(INSTANCES).stdout)
    assert all(f"Id={app}@{port}.service" in line for line in changed)
    assert bool(changed) == restarts
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    assert project.running() == project.one_instance("0.1.0", port)
    return result.verbs


@pytest.mark.parametrize(
    ("damage", "verbs"),
    [
        ("systemctl stop {app}@{port}", ["start", "wait"]),
        ("systemctl kill -s KILL {app}@{port}; systemctl stop {app}@{port}", ["start", "wait"]),
    ],
    ids=["stopped", "killed and stopped"],
)
def test_an_instance_stopped_by_hand_is_started_again(drifting: Project, damage: str, verbs: list[str]) -> None:
    """In its own slot, proven healthy, without a new route."""
    assert heal(drifting, damage, restarts=True) == verbs


@pytest.mark.parametrize(
    ("damage", "verbs"),
    [
        ("systemctl disable --quiet {app}@{port}", ["enable"]),
        ("echo EXTRA=1 >>/etc/reconcile/{app}/{port}.env", ["repair"]),
        ("rm /etc/reconcile/{app}/{port}.env", ["repair"]),
        ("rm /srv/{app}/slots/{port}", ["repair"]),
        ("ln -sfn /tmp /srv/{app}/slots/{port}", ["repair"]),
        ("echo Nice=5 >>/etc/systemd/system/{app}@.service", ["repair"]),
        ("rm /etc/systemd/system/{app}@.service", ["repair"]),
        ("echo '# mine' >>/etc/traefik/dynamic/{app}.yml", ["cutover", "confirm"]),
        ("rm /etc/traefik/dynamic/{app}.yml", ["cutover", "confirm"]),
        ("mkdir /srv/{app}/releases/.incoming-x && touch /srv/{app}/releases/.incoming-x/y", ["prune"]),
        ("touch /srv/{app}/releases/*/server.pl", ["install"]),  # which finds that no content was changed
        ("chmod 0644 /etc/reconcile/{app}/{port}.env; chmod 0755 /etc/reconcile", ["restore"]),
        ("chown -h deploy /srv/{app}/releases /srv/{app}/releases/*; chmod 0777 /srv/{app}/slots", ["restore"]),
        ("chmod 0666 /etc/systemd/system/{app}@.service; chown deploy /etc/traefik/dynamic/{app}.yml", ["restore"]),
        ("chown -R deploy /var/lib/reconcile/{app}; chmod 0666 /var/lib/reconcile/{app}/owner", ["restore"]),
        ("systemctl enable --quiet {app}@{other}", ["stop"]),
    ],
    ids=lambda value: value.split("/")[0].strip() + value.rpartition("/")[2] if isinstance(value, str) else "",
)
def test_a_file_changed_by_hand_is_restored(drifting: Project, damage: str, verbs: list[str]) -> None:
    """The instance is not restarted, so no request is at risk."""
    assert heal(drifting, damage, restarts=False) == verbs


def test_what_was_changed_by_hand_is_shown_before_it_is_put_back(drifting: Project) -> None:
    """In the plan, and in the log of the pass, since nobody can see it afterwards."""
    app = drifting.app
    drifting.machine.run(
        f"printf 'Nice=5\\nEnvironment=TOKEN=geheim\\n' >>/etc/systemd/system/{app}@.service\n"
        f"sed -i 's/^# end/# mine/' /etc/traefik/dynamic/{app}.yml"
    )

    plan = drifting.run("plan", "--diff")
    once = drifting.once()

    assert (plan.code, once.code) == (3, 0), f"{plan}{once}"
    for line in ("-Nice=5", "-Environment=TOKEN=…", "-# mine"):
        assert f"\n  {line}\n" in plan.out, str(plan)
        assert f'"{line}"' in once.err, str(once)
    assert "geheim" not in f"{plan}{once}"
    assert drifting.run("history", app, "--diff").out.startswith(drifting.run("history", app).out)


def test_drop_ins_and_masks_are_named_and_stay(drifting: Project) -> None:
    """They are an administrator's doing. What they change is said, and how to undo it; the app keeps serving."""
    machine, app = drifting.machine, drifting.app
    port, other = drifting.keys["ports"]
    units = "/etc/systemd/system"
    drop_in, of_all = f"{units}/{app}@.service.d/override.conf", "/run/systemd/system/service.d/site.conf"
    machine.run(
        f"mkdir -p {drop_in.rpartition('/')[0]} {of_all.rpartition('/')[0]}; systemctl mask --quiet {app}@{other}\n"
        f"printf '[Service]\\nMemoryMax=1G\\nEnvironment=TOKEN=geheim\\nNice=5\\n' >{drop_in}\n"
        f"printf '[Service]\\nLogRateLimitBurst=7\\n' >{of_all}; systemctl daemon-reload"
    )
    before = machine.run(INSTANCES).stdout

    named = drifting.once()
    plan = drifting.plan()

    assert (plan.code, named.code, named.verbs) == (0, 0, []), str(named)
    for text in (drop_in, "sets MemoryMax, Environment", "adds Nice", of_all, f"unmask {app}@{other}.service"):
        assert text in named.out + named.err, str(named)
        assert text in plan.out, str(plan)
    assert "geheim" not in str(named) + str(plan)

    machine.run(f"systemctl mask --quiet {app}@{port}")
    masked = drifting.once()
    machine.run(f"systemctl unmask {app}@{port} {app}@{other}; rm {drop_in} {of_all}; systemctl daemon-reload")

    assert (masked.code, masked.verbs) == (1, []), str(masked)
    assert f"{app}@{port}.service is masked" in str(masked)
    assert machine.run(INSTANCES).stdout == before
    assert (drifting.once().code, drifting.once().verbs) == (0, [])


def test_an_instance_that_died_is_restarted_by_systemd_alone(drifting: Project) -> None:
    """No controller is needed for that; a pass finds nothing to do."""
    port = drifting.keys["ports"][0]
    invocation = f"systemctl show -P InvocationID {drifting.app}@{port}"
    before = drifting.machine.run(invocation).stdout

    drifting.machine.run(f"systemctl kill -s KILL {drifting.app}@{port}")

    wait_for(lambda: drifting.machine.run(invocation).stdout != before, 40, "systemd starts it anew")
    wait_for(lambda: drifting.get() == (200, b"Hello from app 0.1.0\n"), 40, "it serves again")
    assert (drifting.once().code, drifting.once().verbs) == (0, [])


def test_a_commit_reverted_during_its_rollout_leaves_nothing_behind(drifting: Project) -> None:
    """The half-started slot leaves with its files; what serves is not touched."""
    drifting.commit(version="0.2.0")
    drifting.killed_after("start.finished")
    drifting.commit(version="0.1.0")

    result = drifting.once()

    assert (result.code, drifting.running()) == (0, drifting.one_instance("0.1.0", drifting.keys["ports"][0])), str(
        result
    )


def test_a_damaged_release_is_replaced_through_the_other_slot(new_project: NewProject) -> None:
    """The process keeps the files that it runs from until another has taken over. No visitor notices it."""
    project = new_project()
    project.converge()
    app, other = project.app, project.keys["ports"][1]
    release = project.release_id("0.1.0")
    project.machine.run(f"echo '# mine' >>/srv/{app}/releases/{release}/server.pl")

    with visitors(project, slow=False):
        result = project.once()

    assert result.code == 0, str(result)
    assert result.verbs == ["install", "start", "wait", "cutover", "confirm", "drain", "stop", "prune"]
    assert project.running() == project.one_instance("0.1.0", other) | {"slot": [f"{other} -> ../releases/{release}~2"]}
    assert project.lies()["release"] == [f"{release}~2"]
    pid = project.machine.run(f"systemctl show -P MainPID {app}@{other}").stdout.strip()
    assert project.machine.run(f"readlink /proc/{pid}/cwd").stdout == f"/srv/{app}/releases/{release}~2\n"
    assert project.once().verbs == []


def test_an_app_moves_to_newly_configured_ports(new_project: NewProject) -> None:
    """The new ports are the slots; the instance on the old one leaves after the cutover."""
    project = new_project()
    project.converge()
    ports = [port + 2000 for port in project.keys["ports"]]

    project.converge(ports=ports)

    assert project.get() == (200, b"Hello from app 0.1.0\n")
    assert project.running() == project.one_instance("0.1.0", ports[0])
