"""What a bootstrap would do, and what a doctor finds: read from one survey of a real host, with one thing changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.desired_state.load import load
from reconciler.model.machine import Layout
from reconciler.provision.files import JOURNALD, NEEDRESTART, Files, key_line, shell_text
from reconciler.provision.findings import Around, findings
from reconciler.provision.neighbours import places_to_open
from reconciler.provision.steps import Asked, Impossible, notes, steps
from reconciler.provision.survey import Mode, NotASurvey, Room, Survey, read_survey
from reconciler.tools.host_program import PROGRAM, SUDOERS

CASES = Path(__file__).parent / "cases" / "survey"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJYTGQTMr1Ij2nXl0sLCgZM5r6UyRpR7XCwJkVjVLpwc me"
ASKED = Asked(Layout(), (KEY,))


def bare() -> Survey:
    return read_survey((CASES / "a_bare_host.txt").read_bytes())


def ready() -> Survey:
    """A bootstrapped host with one app; of the files the digests are today's."""
    seen = read_survey((CASES / "a_host.txt").read_bytes())
    assert seen.account
    files = Files.of(Layout())
    known = {path: replace(mode, sha256=files.sha256(path)) for path, mode in seen.files.items()}
    return replace(seen, files=known, account=replace(seen.account, keys=(key_line(KEY),)))


def planned(seen: Survey, asked: Asked = ASKED) -> list[str]:
    plan = steps(seen, asked)
    assert not isinstance(plan, Impossible)
    return [step.what for step in plan]


ALL = [
    "let user reconcile log in",
    "let it run one program as root",
    "create the folders",
    "keep the system from disturbing apps",
]


def test_a_bare_host_needs_every_step() -> None:
    """In this order, each with its reason."""
    plan = steps(bare(), ASKED)

    assert not isinstance(plan, Impossible)
    assert [step.what for step in plan] == ALL
    assert plan[0].reason == "it does not exist"
    assert all(step.reason for step in plan)


def test_a_prepared_host_needs_no_step() -> None:
    """The same function finds nothing to do where everything is as it should be."""
    assert planned(ready()) == []


@pytest.mark.parametrize(
    ("path", "mode", "step"),
    [
        (PROGRAM, Mode("f", "775", "root:root"), 1),
        (PROGRAM, Mode("f", "755", "reconcile:root"), 1),
        (PROGRAM, Mode("f", "755", "root:root", "0" * 64), 1),
        (SUDOERS, Mode("f", "644", "root:root"), 1),
        (NEEDRESTART, Mode("f", "644", "root:root", "0" * 64), 3),
        (JOURNALD, Mode("f", "644", "root:root", "0" * 64), 3),
    ],
)
def test_a_changed_file_is_restored(path: str, mode: Mode, step: int) -> None:
    """By content, mode and owner."""
    seen = ready()
    spoiled = mode if mode.sha256 else replace(mode, sha256=seen.files[path].sha256)

    assert planned(replace(seen, files={**seen.files, path: spoiled})) == [ALL[step]]


@pytest.mark.parametrize(
    ("folder", "mode"),
    [
        ("/etc/traefik/dynamic", Mode("d", "777", "root:root")),
        ("/etc/traefik", Mode("d", "755", "traefik:traefik")),
        ("/etc/reconcile", Mode("d", "755", "root:root")),
        ("/srv", Mode("l", "777", "root:root")),
    ],
)
def test_a_folder_writable_by_others_is_repaired(folder: str, mode: Mode) -> None:
    """A user who can write to Traefik's folder can take over any domain."""
    seen = ready()

    assert planned(replace(seen, folders={**seen.folders, folder: mode})) == ["create the folders"]


def test_a_new_key_is_authorized() -> None:
    """Another controller's, beside the one that is there."""
    other = KEY.replace("LpwC", "LpwD").replace(" me", " ci").replace("AAAAI", "AAAAJ")

    assert planned(ready(), Asked(Layout(), (KEY, other))) == [ALL[0]]


def test_a_key_on_an_edge_may_connect_to_its_neighbours() -> None:
    """The key is there already; only what it may connect to has changed."""
    opens = ("10.0.0.2:*", "10.0.0.5:2379")
    plan = steps(ready(), Asked(Layout(), (KEY,), opens=opens))
    assert not isinstance(plan, Impossible)

    (step,) = plan

    assert step.reason == "1 of 1 keys may not connect to the places that they should"
    assert (
        step.script.text
        == f'{key_line(KEY)[: -len(KEY) - 1]},permitopen="10.0.0.2:*",permitopen="10.0.0.5:2379" {KEY}\n'
    )


def test_an_edge_opens_the_hosts_of_its_apps_and_etcd_and_other_hosts_open_nothing(tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    head = 'version: "1"\nartifact: {source: x.tar.gz}\nports: [4000, 4001]\nhealth: {path: /}\n'
    route = "route: {domains: [shop.test], tls: false, edges: [lb1]}\n"
    (tmp_path / "apps" / "shop.yaml").write_text(f"app: shop\nhosts: [web1, web2]\n{head}{route}")
    (tmp_path / "fleet.yaml").write_text(
        "traefik: {routes: etcd, etcd: {endpoints: [https://10.0.0.5, 'https://[fd00::6]:2380']}}\nhosts:\n"
        "  lb1: {address: lb1, private_address: 10.0.0.1}\n  web1: {address: web1, private_address: 10.0.0.2}\n"
        "  web2: {address: web2, private_address: 10.0.0.3}\n  db1: {address: db1, private_address: 10.0.0.4}\n"
    )
    desired = load(tmp_path)

    assert {host: places_to_open(desired, host) for host in ("lb1", "web1", "db1")} == {
        "lb1": ("10.0.0.2:*", "10.0.0.3:*", "10.0.0.5:2379", "[fd00::6]:2380"),
        "web1": (),
        "db1": (),
    }


def test_a_host_for_other_folders_gets_another_program() -> None:
    """The folders are constants of the program."""
    layout = Layout(releases="/data/apps")

    assert planned(ready(), Asked(layout, (KEY,))) == [ALL[1], ALL[2]]


SMALL = {"MemTotal": 1_000_000, "MemAvailable": 800_000, "SwapTotal": 0}


@pytest.mark.parametrize(
    ("memory", "container", "asked", "swap"),
    [
        (SMALL, "", None, 1024),
        (SMALL | {"SwapTotal": 1000}, "", None, 0),
        (SMALL | {"MemTotal": 4_000_000}, "", None, 0),
        (SMALL | {"MemTotal": 4_000_000}, "", 512, 512),
        (SMALL, "lxc", None, 0),
        (SMALL, "systemd-nspawn", 512, 0),
    ],
)
def test_swap(memory: dict[str, int], container: str, asked: int | None, swap: int) -> None:
    """A small host without swap gets some; a container cannot, and is told so."""
    seen = replace(ready(), memory=memory, container=container)
    wish = Asked(Layout(), (KEY,), asked)

    assert planned(seen, wish) == ([f"add {swap} MiB of swap"] if swap else [])
    assert bool(notes(seen, wish)) == bool(container)


def test_programs_that_cannot_be_installed_are_named() -> None:
    """Without apt-get: the packages."""
    plan = steps(replace(bare(), missing=frozenset({"flock", "tar", "apt-get"})), ASKED)

    assert plan == Impossible(
        "it has no flock, tar, and no apt-get to install them with",
        "install tar util-linux there, then run bootstrap again",
    )
    assert planned(replace(bare(), missing=frozenset({"flock"})))[0] == "install packages"


def test_a_controller_is_left_alone() -> None:
    """Its user has the same name, and the keys to every server."""
    seen = ready()
    assert seen.account
    account = replace(seen.account, home="/var/lib/reconcile-controller")

    assert isinstance(steps(replace(seen, account=account), ASKED), Impossible)


def test_a_dry_run_is_a_script() -> None:
    """Whole, and sound to a shell."""
    import subprocess

    plan = steps(bare(), ASKED)
    assert not isinstance(plan, Impossible)

    text = shell_text([step.script for step in plan])

    assert subprocess.run(["sh", "-n"], input=text.encode(), check=False).returncode == 0
    assert key_line(KEY) in text


@pytest.mark.parametrize("text", [b"", b"@@ survey - 8\nway root\n", b"sh: not found\n"])
def test_a_truncated_survey_is_refused(text: bytes) -> None:
    """A truncated survey must not look like a bare host."""
    with pytest.raises(NotASurvey):
        read_survey(text)


# --- doctor


AROUND = Around(Layout(), True, 0, 8080, "", True)


def found(seen: Survey, **around: object) -> dict[str, str]:
    """The problems: subject → what is said; each has a remedy."""
    where = replace(AROUND, **({"now_epoch_seconds": seen.now_epoch_seconds} | around))  # type: ignore[arg-type]
    problems = [each for each in findings(seen, where) if each.level == "problem"]
    assert all(each.remedy for each in problems)
    return {each.subject: each.says for each in problems}


def test_a_healthy_host_has_no_problem() -> None:
    """Whatever was looked at is told."""
    assert found(ready()) == {}
    assert len(findings(ready(), AROUND)) >= 18


@pytest.mark.parametrize(
    ("changed", "subject"),
    [
        ({"disks": (Room("/", 10_000_000, 500_000),)}, "disk"),
        ({"inodes": (Room("/", 1000, 10),)}, "inodes"),
        ({"memory": {"MemTotal": 1_000_000, "MemAvailable": 10_000, "SwapTotal": 0}}, "memory"),
        ({"controllers": frozenset({"cpu"}), "container": ""}, "memory limits"),
        ({"sshd": {"allowtcpforwarding": "no"}}, "sshd"),
        ({"missing": frozenset({"flock"})}, "programs"),
        ({"listening": ("00000000:1F90",)}, "traefik"),
        ({"listening": ("00000000000000000000000000000000:1F90",)}, "traefik"),
        ({"contents": {"x.yml": "a: [b\n"}}, "routes"),
        ({"contents": {"x.toml": "a = \n"}}, "routes"),
        ({"dynamic": {"x.yml": Mode("f", "666", "root:root")}}, "routes"),
        ({"env": {"/etc/reconcile/a/4000.env": Mode("f", "644", "root:root")}}, "env files"),
        ({"loose": ("/srv/a/releases/1/bin 777 root",)}, "releases"),
        ({"journald_cap": ""}, "journal"),
        ({"journald_reads_old": True}, "journal"),
        ({"files": {}, "missing": frozenset()}, "needrestart"),
    ],
)
def test_each_problem_of_a_host_is_found(changed: dict[str, object], subject: str) -> None:
    """One thing changed, one problem, with a remedy."""
    assert list(found(replace(ready(), **changed))) == [subject]  # type: ignore[arg-type]


def test_what_is_seen_from_here() -> None:
    """A clock that is off, a Traefik that does not answer, an sshd that forwards nothing."""
    seen = ready()

    assert list(found(seen, now_epoch_seconds=seen.now_epoch_seconds + 60)) == ["clock"]
    assert list(found(seen, traefik="connection refused")) == ["traefik"]
    assert list(found(seen, forwards=False)) == ["sshd"]


def test_a_mount_from_which_no_program_can_be_run_is_named() -> None:
    """A problem where the releases are, a note where only an app itself may want to."""
    assert found(replace(ready(), noexec={"/srv": "/srv"})) == {
        "noexec": "/srv is mounted noexec, so no program of a release can be run"
    }
    told = findings(replace(ready(), noexec={"/var/lib": "/var"}), AROUND)
    assert [(each.level, each.says) for each in told if each.subject == "noexec"] == [
        ("note", "/var is mounted noexec, so no program in the state of an app can be run")
    ]


def test_an_app_with_too_many_rights_is_named() -> None:
    """The desired state asks for those rights: it is reported, but not as a problem of the host."""
    exposed = replace(ready(), exposure={"a@4000.service": 1.4, "b@4010.service": 4.2})

    told = {each.subject: each for each in findings(exposed, AROUND)}

    assert (told["sandbox"].level, "b@4010.service 4.2" in told["sandbox"].says) == ("note", True)
