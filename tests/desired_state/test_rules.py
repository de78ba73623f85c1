"""Conflicts between apps are refused; a host is found by each kind of name, and a machine has only one entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired_state.load import load
from reconciler.errors import UsageError
from reconciler.model.desired import HostSpec, Layout
from tests.support.desired_folder import HELLO, problems, write

pytestmark = pytest.mark.usefixtures("in_own_folder")


def other(changes: dict[str, str]) -> str:
    text = HELLO.replace("hello", "other").replace("4000, 4001", "5000, 5001")
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("hello", "second", "fleet", "expected"),
    [
        (
            "",
            other({"5001": "4000"}),
            "",
            ["other.yaml:5:15  ports[1]: 4000 is also a port of hello (ds/apps/hello.yaml:5:9), on host web1"],
        ),
        (
            "route: {domains: [a.de]}",
            other({}) + "route: {domains: [b.de, A.de]}",
            "",
            ["other.yaml:6:25  route.domains[1]: a.de is also a route of hello (ds/apps/hello.yaml:6:19)"],
        ),
        (
            "",
            other({"[web1]": "[root@web1]"}),
            "",
            ["other.yaml:4:9  hosts[0]: root@web1 is the same machine as web1"],
        ),
        (
            "",
            other({"[web1]": "[root@10.0.0.1]", "5000": "4000"}),
            "hosts: {web1: {address: 10.0.0.1}}",
            [
                "other.yaml:4:9  hosts[0]: root@10.0.0.1 is the same machine as web1; write web1 everywhere",
                "other.yaml:5:9  ports[0]: 4000 is also a port of hello (ds/apps/hello.yaml:5:9)",
            ],
        ),
        (
            "",
            other({}),
            "hosts: {web1: {address: h, port: 5001}}",
            ["other.yaml:5:15  ports[1]: 5001 is the SSH port"],
        ),
        (
            "",
            other({}),
            "traefik: {api_port: 5000}",
            ["other.yaml:5:9  ports[0]: 5000 is the port of Traefik's API"],
        ),
        (
            "",
            other({}),
            "traefik: {version: 3.7.15, source: t.tgz, metrics: true, metrics_port: 5001}",
            ["other.yaml:5:15  ports[1]: 5001 is a port of Traefik's entry points"],
        ),
        (
            "",
            other({}) + "sandbox: {extra_ports: [9568, 4001]}",
            "",
            ["other.yaml:6:31  sandbox.extra_ports[1]: 4001 is also a port of hello (ds/apps/hello.yaml:5:15)"],
        ),
        (
            "",
            other({}) + "sandbox: {extra_ports: [8080]}",
            "",
            ["other.yaml:6:25  sandbox.extra_ports[0]: 8080 is the port of Traefik's API"],
        ),
    ],
    ids=[
        "port",
        "domain",
        "two names",
        "fleet and login",
        "SSH port",
        "API port",
        "metrics port",
        "extra port",
        "extra API port",
    ],
)
def test_two_apps_on_one_host_cannot_share_a_port_or_a_name(
    hello: str, second: str, fleet: str, expected: list[str]
) -> None:
    found = problems({"hello": HELLO + hello, "other": second}, fleet=fleet)

    assert [problem[5 : 5 + len(start)] for problem, start in zip(found, expected, strict=True)] == expected


def test_apps_on_different_hosts_can_share_ports_and_names() -> None:
    route = "route: {domains: [a.de]}\n"
    second = HELLO.replace("hello", "other").replace("web1", "web2") + route

    assert [app.app for app in load(write({"other": second, "hello": HELLO + route})).apps] == [
        "hello",
        "other",
    ]


HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8vRBkH5DNVbLLuhM0QTm2cIKEWXnQ0hmyQ4ZHSwYFx root@web1"


def test_a_host_is_found_by_every_kind_of_name() -> None:
    fleet = f"hosts: {{web1: {{address: 10.0.0.1, user: root, port: 2222, host_key: {HOST_KEY}}}}}"
    desired = load(write({"hello": HELLO}, fleet=fleet))

    assert desired.host("web1") == HostSpec(address="10.0.0.1", user="root", port=2222, host_key=HOST_KEY)
    assert desired.host("web2") == HostSpec(address="web2")
    assert desired.host("deploy@web2:2200") == HostSpec(address="web2", user="deploy", port=2200)
    assert desired.host("root@[fe80::1]") == HostSpec(address="fe80::1", user="root")
    assert desired.host("local").local and desired.host("local").paths == Layout()
    with pytest.raises(UsageError):
        desired.host("-oProxyCommand=x")


def test_the_local_host_can_have_other_folders() -> None:
    fleet = "hosts: {local: {address: local, paths: {releases: /tmp/demo/srv}}}"
    desired = load(write({"hello": HELLO.replace("web1", "local")}, fleet=fleet))

    assert desired.host("local").paths.releases == "/tmp/demo/srv"


def test_a_variable_that_a_mix_release_overwrites_is_warned_about_unless_start_is_set(tmp_path: Path) -> None:
    """MODE would silently get another value."""
    folder = tmp_path / "desired-state" / "apps"
    folder.mkdir(parents=True)
    text = "app: a\nversion: '1'\nartifact: {source: x}\nhosts: [local]\nenv:\n  MODE: fast\n"
    (folder / "a.yaml").write_text(text)
    (note,) = load(tmp_path / "desired-state").notes
    assert note.startswith("a: env MODE does not reach the app")

    (folder / "a.yaml").write_text(text + "start: bin/server\n")
    assert load(tmp_path / "desired-state").notes == ()


def test_settings_that_need_root_are_refused_on_a_host_without_root() -> None:
    app = HELLO.replace('"../hello-{version}.tar.gz"', '"https://h/{version}.tar.gz", fetch: host')
    found = problems(
        {"hello": app + "sandbox: {capabilities: [CAP_CHOWN]}\n"}, fleet="hosts: {web1: {address: x, scope: user}}"
    )

    where, next_step = (
        "apps/hello.yaml:4:9  hosts[0]: web1 has scope user, where an app cannot",
        "leave out one of the two",
    )
    assert found == [f"{where} keep CAP_CHOWN; {next_step}", f"{where} use fetch: host; {next_step}"]


def test_an_app_can_come_after_units_of_the_system_and_after_apps() -> None:
    text = HELLO.replace("hello", "web") + "after: [hello, postgresql.service, postgresql@15-main.service]\n"
    desired = load(write({"hello": HELLO, "web": text.replace("4000, 4001", "5000, 5001")}))

    assert desired.apps[1].after_units == ("postgresql.service", "postgresql@15-main.service")


@pytest.mark.parametrize(
    ("name", "fleet", "problem"),
    [
        ("other", "", "6:9  after[0]: there is no app other; name an app of this desired state"),
        (
            "hello@4000.service",
            "",
            "6:9  after[0]: hello@4000.service is a unit of the app hello, and reconcile decides which of its units "
            "runs; write after: [hello]",
        ),
        ("postgresql.slice", "", "6:9  after[0]: 'postgresql.slice' is neither an app nor a unit of systemd; name an"),
        ("'a.service b.service'", "", "6:9  after[0]: 'a.service b.service' is neither an app nor a unit"),
        ("root", "", "6:9  after[0]: root is a user or group of the system"),
        (
            "postgresql.service",
            "hosts: {web1: {address: x, scope: user}}",
            "4:9  hosts[0]: web1 has scope user, where an app cannot come after units of the system",
        ),
    ],
    ids=["no such app", "a unit of ours", "another kind", "two in one", "no app's name", "scope user"],
)
def test_what_an_app_cannot_come_after_is_refused(name: str, fleet: str, problem: str) -> None:
    (found,) = problems({"hello": HELLO + f"after: [{name}]\n"}, fleet=fleet)

    assert found.startswith(f"apps/hello.yaml:{problem}")


@pytest.mark.parametrize(("path", "refused"), [("/srv", True), ("/srv/uploads", False), ("/srv2", False)])
def test_the_releases_folder_of_all_apps_cannot_be_made_writable(path: str, refused: bool) -> None:
    """An app sees its own releases only."""
    text = HELLO + f"sandbox: {{extra_writable_paths: [{path}]}}\n"

    if not refused:
        load(write({"hello": text}))
        return
    (problem,) = problems({"hello": text})
    assert problem.startswith(
        "apps/hello.yaml:6:34  sandbox.extra_writable_paths[0]: /srv holds the releases of every app"
    )
