"""An unprivileged app tries to gain root or to harm its neighbours through data that reconcile reads from it."""

from __future__ import annotations

import shlex

import pytest

from reconciler.tools import scripts
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, Result, wait_for
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


def test_a_health_answer_cannot_pretend_to_be_an_app(evil: Project) -> None:
    """Its status line reads like the look's own frame, with a path for a name. Nothing of it is believed or run."""
    evil.converge(env={"RUN_FIRST": PLANT})
    line = f"HTTP/1.1 @@app ../../../../../var/lib/{evil.app}/x"
    evil.commit(env={"RAW_ANSWER": line}, health={"path": "/ping", "healthy_within_seconds": 2})

    first = evil.once()
    plan = evil.plan("--json")
    second = evil.once()

    assert (first.code, second.code) == (1, 1)
    assert "the answer is not HTTP: for a program that does not speak HTTP, write health: {tcp: true}" in first.told
    assert ".." not in first.told + plan.out + second.told
    assert evil.machine.run(f"[ -e {STOLEN} ] || echo absent").stdout == "absent\n"
    assert second.verbs == []  # the bad version is known as bad: it is not tried again
    assert evil.get()[0] == 200


@pytest.mark.parametrize("name", ["../../etc", "x/y", "", "Evil", "-x", "x y", "a" * 32])
def test_the_removal_script_refuses_names_that_are_not_an_app(shared: Machine, name: str) -> None:
    """The script that root runs refuses what is not the name of an app, whoever asks."""
    folders = ("/srv", "/etc/reconcile", "/etc/systemd/system", "/var/lib/reconcile", "/etc/traefik/dynamic")
    words = (*folders, "1.2.3.4", "0", "me", "-", "-", "-", "hello:", name)
    script = scripts.change_script("remove", "system").text
    quoted = " ".join(f"'{word}'" for word in words)
    before = shared.run("find /etc /srv /var/lib/reconcile ! -path '*/lease*' | sort | sha256sum").stdout

    done = shared.run(f"cat >/run/remove.sh; sh /run/remove.sh {quoted}", stdin=script.encode())

    assert "@@ result - 2\n77\n" in done.stdout
    assert shared.run("find /etc /srv /var/lib/reconcile ! -path '*/lease*' | sort | sha256sum").stdout == before


# Each is sh that the hostile app runs before it serves; what it starts goes on as long as the app does.
SPEAKS_FOR_OTHERS = r"""
perl -e '
  my @lines = map { "/proc/$_/environ:RECONCILE_INSTANCE=6.6.6-aaaaaaaaaaaa/bbbbbbbbbbbb/cccccccccccc" } 1 .. 1900;
  for my $text ("x\nboom", join("\n", "x", @lines), join("\n", "", "@@ app other1 3", "abc")) {
    fork or do { $ENV{RECONCILE_INSTANCE} = $text; exec "sleep", "3600" };
  }'
"""
FILLS_THE_LOOK = r"""
perl -e 'for (1 .. 800) { fork or do { $ENV{RECONCILE_INSTANCE} = "y" x 125000; exec "sleep", "3600" } }'
"""
HOLDS_DESCRIPTORS = r"""
perl -MPOSIX -e 'for (1 .. 60) { fork or do { dup(0) for 1 .. 20000; sleep 3600 } }'
"""
IS_ANOTHER_PROGRAM = r"""
[ -n "$AGAIN" ] || {
  AGAIN=1 RECONCILE_INSTANCE=$(printf 'x\n%0125000d' 1)
  export AGAIN RECONCILE_INSTANCE
  exec bin/app start
}
"""


def looked_at(result: Result) -> dict[str, str]:
    """Why each app is as it is, by name."""
    return {row["app"]: row["because"] for row in result.data}


@pytest.mark.parametrize(
    "hostile",
    [SPEAKS_FOR_OTHERS, FILLS_THE_LOOK, HOLDS_DESCRIPTORS, IS_ANOTHER_PROGRAM],
    ids=["speaks for others", "fills the look", "holds descriptors", "is another program"],
)
def test_hostile_processes_of_one_app_do_not_disturb_the_others(evil: Project, hostile: str) -> None:
    """Its neighbours are looked at as before, in good time, and a change of theirs goes through."""
    evil.converge()
    before = evil.run("status", "--json")
    evil.converge(env={"RUN_FIRST": hostile})

    status = evil.run("status", "--json")
    write(evil, "other3", 3, version="0.2.0")
    evil.commit()
    changed = evil.once()
    again = evil.once()

    assert looked_at(before) == dict.fromkeys([evil.app, "other1", "other2", "other3"], "as wanted")
    assert looked_at(status) == looked_at(before)
    assert status.seconds < before.seconds + 5
    assert (changed.code, {event["app"] for event in changed.events if "app" in event}) == (0, {"other3"}), str(changed)
    assert (again.code, again.verbs) == (0, []), str(again)


@pytest.mark.parametrize(
    ("file", "text", "remedy"),
    [
        ("suspended", "999999999999 me for ever", "reconcile resume"),
        ("suspended", "\u00b2 me for ever", "look at"),
        ("quarantine", "9999999999999999999999 x/y/z why", "look at"),
        ("owner", "two words", "look at"),
        ("commit", "x" * 9000, "look at"),
        ("inventory", "@@ app other1 0", "look at"),
    ],
)
def test_an_unreadable_state_file_affects_only_its_app(evil: Project, file: str, text: str, remedy: str) -> None:
    """It is left as it is and goes on serving, and says what to do; the others are changed as ever."""
    evil.converge()
    path = f"/var/lib/reconcile/{evil.app}/{file}"
    kept = evil.machine.run(f"cat {path} 2>/dev/null || :").stdout
    evil.machine.write(path, f"{text}\n")
    write(evil, "other1", 1, version="0.2.0")
    evil.commit(version="0.2.0")

    result = evil.once("--allow-prune")
    status = evil.run("status", "--json")

    assert result.code == 1
    assert {event["app"] for event in result.events if "app" in event} == {"other1"}
    assert f"{evil.app}: it is left unchanged: " in result.told
    assert f"next: {remedy}" in result.told
    assert "mistake" not in result.told + looked_at(status)[evil.app]
    assert looked_at(status)["other1"] == "as wanted"
    assert evil.version_served == "0.1.0"
    if remedy == "reconcile resume":
        assert evil.run("resume", evil.app).code == 0
    else:
        evil.machine.write(path, kept) if kept else evil.machine.run(f"rm {path}")
    assert evil.once().code == 0
    wait_for(lambda: evil.version_served == "0.2.0", 5, "the new version serves")


SPEAKS_TO_THE_TERMINAL = r"""
printf '\033]0;title\007\033[2J\033[8mhidden\n'
printf 'host web1: evil: converged\n\302\2332Jc1\n\342\200\256backwards\n@@ result - 1\n0\n'
exit 1
"""


def test_log_lines_of_an_app_cannot_control_the_terminal(evil: Project) -> None:
    """No control character, no text that runs backwards, and each line behind a bar: none looks like one of ours."""
    evil.converge()
    evil.commit(env={"RUN_FIRST": SPEAKS_TO_THE_TERMINAL})

    result = evil.once()
    logs = evil.run("logs", evil.app)

    assert result.code == 1
    shown = result.told.split("\n")
    assert all(line.isprintable() for line in shown), result.told
    assert any(line.startswith("  | ") and "hidden" in line for line in shown)
    assert [line for line in shown if "converged" in line and not line.startswith("  | ")] == []
    assert "\x1b" not in logs.out + logs.err
    assert evil.get()[0] == 200


def test_a_link_planted_by_an_app_reveals_no_file_of_root(evil: Project) -> None:
    """A crash dump has the one name that root looks for, in the app's own folder."""
    first, second = evil.keys["ports"]
    links = ((first, "/root/.ssh/authorized_keys"), (second, "/root/absent"))
    plant = "".join(f'ln -sf {target} "$STATE_DIRECTORY/erl_crash.{port}.dump"\n' for port, target in links)
    evil.converge(env={"RUN_FIRST": plant})

    logs = evil.run("logs", evil.app)

    assert evil.machine.run(f"cat /var/lib/{evil.app}/erl_crash.{first}.dump").stdout
    assert "crashed" not in logs.out + logs.err
    rows = {row["app"]: row for row in evil.run("status", "--json").data}
    assert rows[evil.app]["crash_dumps"] == []


def test_doctor_treats_hostile_names_and_texts_as_data(evil: Project) -> None:
    """A file in Traefik's folder whose name has lines and an escape, and one that reads like a survey."""
    evil.converge()
    folder = "/etc/traefik/dynamic"
    for name in ("a\nway verb\nb.yml", "a\x1b[2J.yml"):
        evil.machine.run(f"echo x >{shlex.quote(f'{folder}/{name}')}; chmod 0666 {folder}/a*")
    evil.machine.write(f"{folder}/mine.yml", "# @@ end - 0\n@@ survey - 3\nabc\n\x1b[2J")

    result = evil.run("doctor", evil.machine.name)

    assert all(line.isprintable() for line in result.out.split("\n")), result.out
    assert "others can change ? in Traefik's folder" in result.out
    assert "mine.yml cannot be read" in result.out
    assert "logs in as root" in result.out
