"""Files become a Desired, or every problem is named with file, line, column, key and a next step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.desired_state.load import load
from reconciler.errors import InvalidDesiredState
from reconciler.model.desired import (
    App,
    Artifact,
    Desired,
    Fleet,
    HealthCheck,
    Route,
    SecretRef,
)
from reconciler.model.machine import read_host
from reconciler.model.source import fill_in_version
from tests.support.desired_folder import HELLO, problems, write

pytestmark = pytest.mark.usefixtures("in_own_folder")


def load_hello(more: str = "", fleet: str | None = None) -> App:
    return load(write({"hello": HELLO + more}, fleet)).apps[0]


def test_one_app_file_is_enough(tmp_path: Path) -> None:
    """Missing keys have their defaults, and version 1.10 is not 1.1."""
    desired = load(write({"hello": HELLO}))

    assert desired == Desired(
        fleet=Fleet(),
        apps=(
            App(
                app="hello",
                version="1.10",
                artifact=Artifact(source="../hello-{version}.tar.gz"),
                hosts=("web1",),
                ports=(4000, 4001),
                health=HealthCheck(),
            ),
        ),
        revision=None,
        folder=Path("ds"),
    )
    assert desired.apps[0].start_command == "bin/hello start"
    assert fill_in_version(desired.apps[0].artifact.source, "1.10") == "../hello-1.10.tar.gz"


def test_every_key_of_an_app_is_read() -> None:
    app = load_hello(
        "start: bin/hi foreground\n"
        'migrate: bin/hello eval "Hello.Release.migrate()"\n'
        "env: {A: {secret: hello/a}, RELEASE_COOKIE: {secret: hello/cookie}}\n"
        "health: {path: /ping, healthy_within_seconds: 30, minimum_healthy_seconds: 0}\n"
        "route: {domains: [Example.com, b.example.com], tls: false}\n"
        "drain_seconds: 0\nstop_seconds: 5\nmigrate_within_seconds: 60\nkeep_releases: 2\nmemory_max: 512M\n"
        "sandbox:\n  {write_execute_memory: true, extra_writable_paths: [/x], capabilities: [CAP_CHOWN]}\n"
        "distribution: sname\n"
    )

    assert (app.start_command, app.migrate) == (
        "bin/hi foreground",
        'bin/hello eval "Hello.Release.migrate()"',
    )
    assert app.env == {"A": SecretRef(secret="hello/a"), "RELEASE_COOKIE": SecretRef(secret="hello/cookie")}
    assert app.health == HealthCheck(path="/ping", healthy_within_seconds=30, minimum_healthy_seconds=0)
    assert app.route == Route(domains=("example.com", "b.example.com"), tls=False)
    assert (app.drain_seconds, app.stop_seconds, app.migrate_within_seconds, app.keep_releases) == (
        0,
        5,
        60,
        2,
    )
    assert (app.memory_max, app.distribution) == ("512M", "sname")
    assert app.sandbox.write_execute_memory and not app.sandbox.devices
    assert (app.sandbox.extra_writable_paths, app.sandbox.capabilities) == (
        ("/x",),
        ("CAP_CHOWN",),
    )


def test_env_values_are_their_source_text() -> None:
    """An environment has no numbers or booleans."""
    app = load_hello(
        "env:\n  A: on\n  B: 0644\n  C: 1.10\n  D: ''\n  E: 'Hello, $world \"quoted\" %h #x'\n"
        '  F: "a\\nb\\tc \\u00e9\\U0001f600"\n  G: |\n    two\n    lines\n  H: true\n  I: "null"\n'
    )

    assert app.env == {
        "A": "on",
        "B": "0644",
        "C": "1.10",
        "D": "",
        "E": 'Hello, $world "quoted" %h #x',
        "F": "a\nb\tc é\U0001f600",
        "G": "two\nlines\n",
        "H": "true",
        "I": "null",
    }


def with_line(line: str) -> str:
    """HELLO with this line in place of the one with the same key, or appended."""
    key = line.partition(":")[0]
    lines = HELLO.splitlines()
    if not any(old.startswith(f"{key}:") for old in lines):
        return HELLO + line
    return "\n".join(line if old.startswith(f"{key}:") else old for old in lines)


def test_a_secret_in_a_wrong_place_is_not_repeated() -> None:
    """A value that may be a secret never appears in an error."""
    found = problems(
        {
            "hello": with_line("artifact: {source: 'https://me:hunter2@h/x'}")
            + '\nenv: {A: {secret: "hunter2!"}, B: "hunter2\\0", C: [hunter2]}\n'
        }
    )

    assert len(found) == 4
    assert "hunter2" not in "\n".join(found)


def test_all_problems_of_all_files_come_at_once_in_order() -> None:
    apps = {"b": HELLO.replace("hello", "b") + "x: 1\nx: 2\n", "a": "app: a\n  b: 1\n", "c": ""}
    found = problems(apps, fleet="hosts: {web1: {address: '-x'}}\ntraffic: {}\n")

    assert [problem.partition(";")[0] for problem in found] == [
        "apps/a.yaml:2:4  is not YAML: mapping values are not allowed in this context",
        "apps/b.yaml:7:1  x: is a duplicate key",
        "apps/c.yaml:1:1  is empty",
        "fleet.yaml:1:25  hosts.web1.address: '-x' is not an address",
        "fleet.yaml:2:1  traffic: is not a key",
    ]


def test_a_worker_needs_no_port_and_no_health_check() -> None:
    app = load(write({"hello": with_line("ports:")}, fleet="defaults: {health: {path: /up}}")).apps[0]

    assert (app.ports, app.health, app.route) == ((), None, None)


@pytest.mark.parametrize("line", ["route: {domains: [a.de]}", "health: {path: /up}"])
def test_route_and_health_need_a_port(line: str) -> None:
    found = problems({"hello": with_line("ports: []") + "\n" + line})

    column, key = line.index("{") + 1, line.partition(":")[0]
    assert found == [f"apps/hello.yaml:6:{column}  {key}: needs a port; write ports: [4000, 4001]"]


def test_defaults_apply_where_an_app_sets_nothing() -> None:
    """Whole keys are replaced; env is joined key by key."""
    fleet = "defaults:\n  env: {A: fleet, B: fleet}\n  health: {path: /up}\n  drain_seconds: 3\n  memory_max: 1G"
    app = load_hello("env: {B: app}\ndrain_seconds: 4\nmemory_max:\n", fleet)

    assert (app.env, app.health) == ({"A": "fleet", "B": "app"}, HealthCheck(path="/up"))
    assert (app.drain_seconds, app.memory_max, app.memory_limit) == (4, None, "40%")


def test_defaults_cannot_set_the_keys_that_each_app_must_have() -> None:
    assert problems({"hello": HELLO}, fleet="defaults: {version: 1}")[0].startswith(
        "fleet.yaml:1:12  defaults.version: is not a key"
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "hosts:\ndefaults:\ntraefik:\n"])
def test_a_fleet_file_may_be_empty(text: str) -> None:
    assert load(write({"hello": HELLO}, fleet=text)).fleet == Fleet()


def test_an_empty_desired_state_is_refused() -> None:
    """Fail closed: a desired state without apps would remove everything."""
    assert problems({}) == [
        "apps  there is no app file; write one as ds/apps/<app>.yaml; an empty desired state is taken for a mistake"
    ]


def test_a_missing_folder_is_refused() -> None:
    with pytest.raises(InvalidDesiredState, match=r"^nowhere  there is no such folder"):
        load(Path("nowhere"))


def test_only_regular_yaml_files_count(tmp_path: Path) -> None:
    """Links, pipes and `.yml` files are reported; other files are ignored."""
    folder = write({"hello": HELLO})
    (folder / "README.md").write_text("# text")
    (folder / "apps" / "notes.txt").write_text("x")
    (folder / "apps" / ".hidden.yaml").write_text("x: [")
    (folder / "apps" / "sub").mkdir()
    assert [app.app for app in load(folder).apps] == ["hello"]

    (folder / "apps" / "link.yaml").symlink_to("hello.yaml")
    (folder / "apps" / "old.yml").write_text(HELLO)
    os.mkfifo(folder / "apps" / "pipe.yaml")
    (folder / "apps" / "folder.yaml").mkdir()
    (folder / "fleet.yml").write_text("")
    os.close(os.open(os.fsencode(folder / "apps") + b"/\xff\n.yaml", os.O_CREAT))
    assert problems({}) == [
        "apps/\\udcff\\n.yaml  is not a name for an app file; rename it to <app>.yaml",
        "apps/folder.yaml  is not a file; move it away",
        "apps/link.yaml  is a symbolic link, which is not followed; put the file itself here",
        "apps/old.yml  is not read; rename it to old.yaml",
        "apps/pipe.yaml  is not a file; move it away",
        "fleet.yml  is not read; rename it to fleet.yaml",
    ]


def test_a_linked_apps_folder_is_refused(tmp_path: Path) -> None:
    Path("ds").mkdir()
    Path("ds/apps").symlink_to(tmp_path)

    assert problems({}) == ["apps  is a symbolic link, which is not followed; put the folder itself here"]


def test_too_many_files_and_too_large_ones_are_refused() -> None:
    write({f"a{number}": "x" for number in range(2001)})
    assert problems({}) == ["apps  holds 2001 app files (at most 2000); keep one file for each app"]


def test_a_large_file_is_refused_without_reading_it_whole() -> None:
    folder = write({"hello": HELLO})
    with (folder / "apps" / "big.yaml").open("wb") as file:
        file.truncate(1 << 30)

    assert problems({}) == ["apps/big.yaml  is larger than 1 MiB; desired state is short text; split the file"]


def test_errors_name_paths_as_the_user_typed_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"hello": "x"})
    shown = []
    for folder in (Path("ds"), tmp_path / "ds", Path("../" + tmp_path.name + "/ds")):
        with pytest.raises(InvalidDesiredState) as refused:
            load(folder)
        shown.append(refused.value.problems[0].file)

    assert shown == ["ds/apps/hello.yaml", "ds/apps/hello.yaml", f"../{tmp_path.name}/ds/apps/hello.yaml"]


def test_an_invalid_target_raises_value_error() -> None:
    with pytest.raises(ValueError, match="is not a host"):
        read_host("a b")
