"""Files become Desired, or every fault is named with file, line, column, key and a way out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reconciler.errors import InvalidDesiredState, UsageError
from reconciler.load import load
from reconciler.model.desired import (
    App,
    Artifact,
    Desired,
    Fleet,
    HealthCheck,
    HostSpec,
    Layout,
    Route,
    SecretRef,
)
from reconciler.model.machine import read_host

HELLO = """\
app: hello
version: 1.10
artifact: {source: "../hello-{version}.tar.gz"}
hosts: [web1]
ports: [4000, 4001]
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(apps: dict[str, str], fleet: str | None = None) -> Path:
    folder = Path("ds")
    (folder / "apps").mkdir(parents=True, exist_ok=True)
    for name, text in apps.items():
        (folder / "apps" / f"{name}.yaml").write_text(text)
    if fleet is not None:
        (folder / "fleet.yaml").write_text(fleet)
    return folder


def load_hello(more: str = "", fleet: str | None = None) -> App:
    return load(write({"hello": HELLO + more}, fleet)).apps[0]


def problems(apps: dict[str, str], fleet: str | None = None) -> list[str]:
    with pytest.raises(InvalidDesiredState) as refused:
        load(write(apps, fleet))
    assert all(problem.message for problem in refused.value.problems)
    return [str(problem).removeprefix("ds/") for problem in refused.value.problems]


def test_one_app_file_is_enough(tmp_path: Path) -> None:
    """Everything left out has its default, and 1.10 is not 1.1."""
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
    assert desired.apps[0].artifact.at("1.10") == "../hello-1.10.tar.gz"


def test_every_key_is_read() -> None:
    app = load_hello(
        "start: bin/hi foreground\n"
        'migrate: bin/hello eval "Hello.Release.migrate()"\n'
        "env: {A: {secret: hello/a}}\n"
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
    assert app.env == {"A": SecretRef(secret="hello/a")}
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
    """Nothing is a number or a truth value in an environment."""
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
    """HELLO with this line in place of the one with the same key, or after all."""
    key = line.partition(":")[0]
    lines = HELLO.splitlines()
    if not any(old.startswith(f"{key}:") for old in lines):
        return HELLO + line
    return "\n".join(line if old.startswith(f"{key}:") else old for old in lines)


REFUSED_LINES = [
    # a line of the file, and how the problem begins after `apps/hello.yaml:`
    ("version: ../../etc", "2:10  version: '../../etc' cannot name a release"),
    ("version: $(id)", "2:10  version: '$(id)' cannot"),
    ("version: 1;reboot", "2:10  version: '1;reboot' cannot"),
    ("version: -1", "2:10  version: '-1' cannot"),
    ('version: "1\\0"', "2:10  version: '1\\x00' cannot"),
    ('version: "1\\n2"', "2:10  version: '1\\n2' cannot"),
    ('version: "1\\n"', "2:10  version: '1\\n' cannot"),
    ("version: 1..2", "2:10  version: '1..2' cannot"),
    ("version: 1.", "2:10  version: '1.' cannot"),
    ("version: a/b", "2:10  version: 'a/b' cannot"),
    ("version: '{{ env \"TOKEN\" }}'", "2:10  version: "),
    ("version: é", "2:10  version: 'é' cannot"),
    (f"version: {'1' * 65}", "2:10  version: is 65 characters long (at most 64)"),
    ("version: [1]", "2:10  version: must be text"),
    ("version:", "2:1  version: has no value"),
    ("version: ~", "2:10  version: has no value"),
    ("ports: [0]", "5:9  ports[0]: 0 is outside 1024 to 65535"),
    ("ports: [4000, 22]", "5:15  ports[1]: 22 is outside"),
    ("ports: [80]", "5:9  ports[0]: 80 is outside"),
    ("ports: [65536]", "5:9  ports[0]: 65536 is outside"),
    ("ports: [-1]", "5:9  ports[0]: -1 is outside"),
    ("ports: [4000-4001]", "5:9  ports[0]: '4000-4001' is not a whole number"),
    ("ports: [4000, 4000]", "5:15  ports[1]: 4000 stands here twice"),
    ("ports: [22:22]", "5:9  ports[0]: '22:22' is not a whole number"),
    ("ports: [0o7640]", "5:9  ports[0]: '0o7640' is not"),
    ("ports: [07640]", "5:9  ports[0]: '07640' is not"),
    ("ports: [0xfa0]", "5:9  ports[0]: '0xfa0' is not"),
    ("ports: [4_000]", "5:9  ports[0]: '4_000' is not"),
    ("ports: [4000.0]", "5:9  ports[0]: '4000.0' is not"),
    ("ports: [true]", "5:9  ports[0]: 'true' is not"),
    (f"ports: [{'9' * 5000}]", "5:9  ports[0]: is too large"),
    ("ports: [4000, 4001, 4002]", "5:8  ports: names 3 ports"),
    ("ports: 4000", "5:8  ports: must be a list"),
    ("ports: [4000, 8080]", "5:15  ports[1]: 8080 is the port of Traefik's API"),
    ("app: root", "1:6  app: root is a user or group of the system"),
    ("app: docker", "1:6  app: docker is a user or group of the system"),
    ("app: traefik", "1:6  app: traefik is a name this tool uses itself"),
    ("app: systemd-x", "1:6  app: systemd-x is a name of systemd"),
    ("app: getty", "1:6  app: getty is a unit of the system"),
    ("app: dpkg", "1:6  app: dpkg is a folder of the system"),
    ("app: Hello", "1:6  app: 'Hello' cannot name an app"),
    ("app: ../x", "1:6  app: '../x' cannot name an app"),
    (f"app: {'a' * 32}", "1:6  app: "),
    ("app: helo", "1:6  app: is helo, but the file is hello.yaml"),
    ("artifact: {source: 'http://h/x'}", "3:20  artifact.source: http: is not a kind of source"),
    ("artifact: {source: 'file:///x'}", "3:20  artifact.source: file: is not"),
    ("artifact: {source: 'ext::sh -c x'}", "3:20  artifact.source: ext: is not"),
    ("artifact: {source: 's3://b/x'}", "3:20  artifact.source: s3 sources cannot be read yet"),
    ("artifact: {source: 'x-{vesion}'}", "3:20  artifact.source: '{vesion}' stands for nothing"),
    ('artifact: {source: "a\\nb"}', "3:20  artifact.source: must be one line of text"),
    ("artifact: {source: x, sha256: abc}", "3:31  artifact.sha256: 'abc' is not a sha256 digest"),
    ("artifact: x", "3:11  artifact: must be a block of keys"),
    ("artifact: {}", "3:1  artifact.source: is missing"),
    ("hosts: []", "4:8  hosts: is an empty list"),
    ("hosts: [web1, web1]", "4:15  hosts[1]: web1 stands here twice"),
    ("hosts: [-oProxyCommand=x]", "4:9  hosts[0]: '-oProxyCommand=x' is not a host"),
    ("hosts: ['a b']", "4:9  hosts[0]: 'a b' is not a host"),
    ("hosts: [root@local]", "4:9  hosts[0]: local is this machine"),
    ("hosts: ['r@h:70000']", "4:9  hosts[0]: 'r@h:70000' has a port outside"),
    ("hosts: ['r@[1:2]']", "4:9  hosts[0]: '1:2' is not an IPv6 address"),
    ("hosts: [web1, root@web1]", "4:15  hosts[1]: root@web1 is the same machine as web1"),
    ("hosts: web1", "4:8  hosts: must be a list"),
    ("verison: 1", "6:1  verison: is not a key; did you mean version?"),
    ("Drain-Seconds: 1", "6:1  Drain-Seconds: is not a key; did you mean drain_seconds?"),
    ("domains: [x.de]", "6:1  domains: is not a key; did you mean route.domains?"),
    ("image: x", "6:1  image: is not a key; keys here: app, version, artifact"),
    ("env: {PORT: 1}", "6:7  env.PORT: cannot be set here; it is the slot's port"),
    ("env: {RELEASE_NODE: x}", "6:7  env.RELEASE_NODE: cannot be set here"),
    ("env: {RELEASE_TMP: x}", "6:7  env.RELEASE_TMP: cannot be set here"),
    ("env: {RECONCILE_X: x}", "6:7  env.RECONCILE_X: cannot be set here"),
    ("env: {PATH: x}", "6:7  env.PATH: cannot be set here"),
    ("env: {HOME: x}", "6:7  env.HOME: cannot be set here; systemd sets it"),
    ("env: {LD_PRELOAD: x}", "6:7  env.LD_PRELOAD: cannot be set here"),
    ("env: {NOTIFY_SOCKET: x}", "6:7  env.NOTIFY_SOCKET: cannot be set here"),
    ("env: {INVOCATION_ID: x}", "6:7  env.INVOCATION_ID: cannot be set here"),
    ("env: {1A: x}", "6:7  env.1A: '1A' is not a name for a variable"),
    ("env: {A-B: x}", "6:7  env.A-B: 'A-B' is not a name for a variable"),
    ('env: {"A\\nB": x}', "6:7  env.'A\\nB': "),
    ("env: {A: ~}", "6:10  env.A: has no value"),
    ("env: {A: }", "6:7  env.A: has no value"),
    ("env: {A: [x]}", "6:10  env.A: must be text"),
    ('env: {A: "x\\0"}', "6:10  env.A: holds a NUL character"),
    (f"env: {{A: {'é' * 65_501}}}", "6:10  env.A: is 131002 bytes long"),
    ("env: {A: {secret: ../x}}", "6:19  env.A.secret: is not the name of a secret"),
    ("env: {A: {scret: x, secret: y}}", "6:11  env.A.scret: is not a key; did you mean secret?"),
    ("env: {A: x, A: y}", "6:13  env.A: stands here twice"),
    ("env: text", "6:6  env: must be a block of keys"),
    ("health: {path: //evil}", "6:16  health.path: '//evil' is not a path"),
    ("health: {path: 'http://169.254.169.254/'}", "6:16  health.path: 'http://169.254.169.254/' is not"),
    ('health: {path: "/a\\r\\nX: y"}', "6:16  health.path: '/a\\r\\nX: y' is not"),
    ("health: {path: /a b}", "6:16  health.path: '/a b' is not"),
    ("health: {path: '/{{ env}}'}", "6:16  health.path: '/{{ env}}' is not"),
    ("health: {path: '/{{env}}'}", "6:16  health.path: '/{{env}}' is not"),
    ("health: {path: ping}", "6:16  health.path: 'ping' is not"),
    ("health: {healthy_within_seconds: 0}", "6:34  health.healthy_within_seconds: 0 is outside 1 to 3600"),
    ("health: {minimum_healthy_seconds: 61}", "6:35  health.minimum_healthy_seconds: 61 is more than"),
    (
        "route: {domains: [a.de, '{{ env \"X\" }}']}",
        "6:25  route.domains[1]: '{{ env \"X\" }}' is not a domain",
    ),
    ('route: {domains: ["x\\n  routers:"]}', "6:19  route.domains[0]: 'x\\n  routers:' is not a domain"),
    ("route: {domains: ['x`) || Host(`y']}", "6:19  route.domains[0]: 'x`) || Host(`y' is not"),
    ("route: {domains: ['*.de']}", "6:19  route.domains[0]: '*.de' is not a domain"),
    ("route: {domains: [a.de, A.de]}", "6:25  route.domains[1]: a.de stands here twice"),
    ("route: {domains: []}", "6:18  route.domains: is an empty list"),
    ("route: {domains: [a.de], tls: True}", "6:31  route.tls: 'True' is neither true nor false; write true"),
    ("route: {domains: [a.de], tls: off}", "6:31  route.tls: 'off' is neither true nor false; write false"),
    (
        "route: {domains: [a.de], tls: 0}",
        "6:31  route.tls: '0' is neither true nor false; write true or false",
    ),
    ("start: ''", "6:8  start: '' is not a command"),
    ('start: "a\\nb"', "6:8  start: 'a\\nb' is not a command"),
    ("drain_seconds: 10s", "6:16  drain_seconds: '10s' is not a whole number"),
    ("drain_seconds:", "6:1  drain_seconds: must be a whole number"),
    ("keep_releases: 1", "6:16  keep_releases: 1 is outside 2 to 100"),
    ("memory_max: much", "6:13  memory_max: 'much' is not an amount of memory"),
    ("distribution: on", "6:15  distribution: must be 'none', 'sname' or 'name'"),
    ("sandbox: {devices: yes}", "6:20  sandbox.devices: 'yes' is neither true nor false"),
    ("sandbox: {extra_writable_paths: [/a/../b]}", "6:34  sandbox.extra_writable_paths[0]: '/a/../b' is not"),
    ("sandbox: {capabilities: [net]}", "6:26  sandbox.capabilities[0]: 'net' is not a capability"),
    ("migrate: &x bin/migrate", "6:10  migrate: anchors (&name) are not read"),
    ("migrate: !!python/name:os.system x", "6:10  migrate: tags (!name) are not read"),
]


@pytest.mark.parametrize(("line", "start"), REFUSED_LINES, ids=[line[:40] for line, _ in REFUSED_LINES])
def test_a_line_is_refused_with_its_place(line: str, start: str) -> None:
    """One problem, no more, and it begins with file:line:column and the key."""
    (problem,) = problems({"hello": with_line(line)})

    assert problem.startswith(f"apps/hello.yaml:{start}"), problem


def test_a_secret_in_a_wrong_place_is_not_repeated() -> None:
    """What may be a secret never gets into an error."""
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
        "apps/b.yaml:7:1  x: stands here twice",
        "apps/c.yaml  is empty",
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
    assert found == [f"apps/hello.yaml:6:{column}  {key}: needs a port to ask; write ports: [4000, 4001]"]


def test_defaults_fill_in_what_an_app_does_not_say() -> None:
    """Whole keys are replaced; env is joined key by key."""
    fleet = (
        "defaults:\n  env: {A: fleet, B: fleet}\n  health: {path: /up}\n  drain_seconds: 3\n  memory_max: 1G"
    )
    app = load_hello("env: {B: app}\ndrain_seconds: 4\nmemory_max:\n", fleet)

    assert (app.env, app.health) == ({"A": "fleet", "B": "app"}, HealthCheck(path="/up"))
    assert (app.drain_seconds, app.memory_max) == (4, None)


def test_defaults_cannot_say_what_each_app_must() -> None:
    assert problems({"hello": HELLO}, fleet="defaults: {version: 1}")[0].startswith(
        "fleet.yaml:1:12  defaults.version: is not a key"
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "hosts:\ndefaults:\ntraefik:\n"])
def test_a_fleet_file_may_be_empty(text: str) -> None:
    assert load(write({"hello": HELLO}, fleet=text)).fleet == Fleet()


REFUSED_FLEETS = [
    ("x", "1:1  must be a block of keys"),
    ("hosts: [a]", "1:8  hosts: must be a block of keys"),
    ("hosts: {a b: {address: x}}", "1:9  hosts.a b: 'a b' is not a host name"),
    ("hosts: {a: {adress: x, address: y}}", "1:13  hosts.a.adress: is not a key; did you mean address?"),
    ("hosts: {a: }", "1:9  hosts.a: has no value"),
    ("hosts: {a: {}}", "1:9  hosts.a.address: is missing"),
    ("hosts: {a: {address: 'x:22'}}", "1:22  hosts.a.address: 'x:22' is not"),
    ("hosts: {a: {address: -x}}", "1:22  hosts.a.address: '-x' is not an address"),
    ("hosts: {a: {address: x, user: -x}}", "1:31  hosts.a.user: '-x' is not a user name"),
    ("hosts: {a: {address: x, port: 0}}", "1:31  hosts.a.port: 0 is outside"),
    ("hosts: {a: {address: x, scope: user}}", "1:32  hosts.a.scope: user comes later"),
    ("hosts: {a: {address: x, scope: usr}}", "1:32  hosts.a.scope: must be 'system'"),
    ("hosts: {a: {address: local, user: x}}", "1:35  hosts.a.user: local is this machine"),
    ("hosts: {local: {address: x}}", "1:16  hosts.local: local always means this machine"),
    ("hosts: {a: {address: x}, b: {address: X}}", "1:29  hosts.b: is the same machine as a"),
    ("hosts: {a: {address: x, host_key: ssh-ed25519 AAAA}}", "1:35  hosts.a.host_key: is damaged"),
    (
        "hosts: {a: {address: x, host_key: x ssh-rsa}}",
        "1:35  hosts.a.host_key: 'x ssh-rsa' is not an OpenSSH",
    ),
    (
        "hosts: {a: {address: x, paths: {releases: srv}}}",
        "1:43  hosts.a.paths.releases: 'srv' is not an absolute",
    ),
    ("hosts: {a: {address: x, paths: {state: /a/../b}}}", "1:40  hosts.a.paths.state: '/a/../b' is not"),
    ("hosts: {a: {address: x, paths: {state: /a/}}}", "1:40  hosts.a.paths.state: '/a/' is not"),
    ("hosts: {a: {address: x, paths: {state: '/a b'}}}", "1:40  hosts.a.paths.state: '/a b' is not"),
    (
        "hosts: {a: {address: x, paths: {state: /srv}}}",
        "1:40  hosts.a.paths.state: /srv is also the folder for releases",
    ),
    (
        "hosts: {a: {address: x, paths: {env: /etc/traefik/dynamic/e}}}",
        "1:38  hosts.a.paths.env: /etc/traefik/dyn",
    ),
    ("traefik: {http_entry_point: '{{x}}'}", "1:29  traefik.http_entry_point: '{{x}}' is not a name"),
    ("traefik: {cert_resolver: 'a`b'}", "1:26  traefik.cert_resolver: 'a`b' is not a name"),
    ("defaults: {env: {PORT: 1}}", "1:18  defaults.env.PORT: cannot be set here"),
]


@pytest.mark.parametrize(("text", "start"), REFUSED_FLEETS, ids=[text for text, _ in REFUSED_FLEETS])
def test_a_fleet_is_refused_with_its_place(text: str, start: str) -> None:
    (problem,) = problems({"hello": HELLO}, fleet=text)

    assert problem.startswith(f"fleet.yaml:{start}"), problem


HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8vRBkH5DNVbLLuhM0QTm2cIKEWXnQ0hmyQ4ZHSwYFx root@web1"


def test_hosts_are_found_by_every_kind_of_name() -> None:
    fleet = f"hosts: {{web1: {{address: 10.0.0.1, user: root, port: 2222, host_key: {HOST_KEY}}}}}"
    desired = load(write({"hello": HELLO}, fleet=fleet))

    assert desired.host("web1") == HostSpec(address="10.0.0.1", user="root", port=2222, host_key=HOST_KEY)
    assert desired.host("web2") == HostSpec(address="web2")
    assert desired.host("deploy@web2:2200") == HostSpec(address="web2", user="deploy", port=2200)
    assert desired.host("root@[fe80::1]") == HostSpec(address="fe80::1", user="root")
    assert desired.host("local").local and desired.host("local").paths == Layout()
    with pytest.raises(UsageError):
        desired.host("-oProxyCommand=x")


def test_this_machine_may_have_other_folders() -> None:
    fleet = "hosts: {local: {address: local, paths: {releases: /tmp/demo/srv}}}"
    desired = load(write({"hello": with_line("hosts: [local]")}, fleet=fleet))

    assert desired.host("local").paths.releases == "/tmp/demo/srv"


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
            ["other.yaml:5:15  ports[1]: 4000 is also a port of hello, on host web1"],
        ),
        (
            "route: {domains: [a.de]}",
            other({}) + "route: {domains: [b.de, A.de]}",
            "",
            ["other.yaml:6:25  route.domains[1]: a.de is also a domain of hello, on host web1"],
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
                "other.yaml:5:9  ports[0]: 4000 is also a port of hello, on host root@10.0.0.1",
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
    ],
    ids=["port", "domain", "two names", "fleet and login", "SSH port", "API port"],
)
def test_two_apps_do_not_share(hello: str, second: str, fleet: str, expected: list[str]) -> None:
    found = problems({"hello": HELLO + hello, "other": second}, fleet=fleet)

    assert [problem[5 : 5 + len(start)] for problem, start in zip(found, expected, strict=True)] == expected


def test_apps_on_different_hosts_may_share() -> None:
    route = "route: {domains: [a.de]}\n"
    second = HELLO.replace("hello", "other").replace("web1", "web2") + route

    assert [app.app for app in load(write({"other": second, "hello": HELLO + route})).apps] == [
        "hello",
        "other",
    ]


def test_an_empty_desired_state_is_refused() -> None:
    """Fail closed: no app at all would mean that everything goes."""
    assert problems({}) == [
        "apps  there is no app file; write one as ds/apps/<app>.yaml; no app at all is taken for a mistake"
    ]


def test_a_missing_folder_is_refused() -> None:
    with pytest.raises(InvalidDesiredState, match=r"^nowhere  there is no such folder"):
        load(Path("nowhere"))


def test_only_regular_yaml_files_count(tmp_path: Path) -> None:
    """Links, pipes and `.yml` are named; everything else is none of ours."""
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
    assert problems({}) == ["apps  holds 2001 app files (at most 2000)"]


def test_a_large_file_is_refused_without_reading_it_whole() -> None:
    folder = write({"hello": HELLO})
    with (folder / "apps" / "big.yaml").open("wb") as file:
        file.truncate(1 << 30)

    assert problems({}) == [
        "apps/big.yaml  is larger than 1 MiB; desired state is short text; split the file"
    ]


def test_errors_name_paths_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"hello": "x"})
    shown = []
    for folder in (Path("ds"), tmp_path / "ds", Path("../" + tmp_path.name + "/ds")):
        with pytest.raises(InvalidDesiredState) as refused:
            load(folder)
        shown.append(refused.value.problems[0].file)

    assert shown == ["ds/apps/hello.yaml", "ds/apps/hello.yaml", f"../{tmp_path.name}/ds/apps/hello.yaml"]


def test_twenty_apps_load_quickly() -> None:
    """The whole no-op pass has half a second; measured at 3 ms, asserted with room for a busy machine."""
    text = HELLO + "env: {A: x, B: {secret: a/b}}\nhealth: {path: /ping}\nroute: {domains: [hello.de]}\n"
    folder = write(
        {
            f"app{n}": text.replace("hello", f"app{n}").replace(
                "4000, 4001", f"{4000 + 2 * n}, {4001 + 2 * n}"
            )
            for n in range(20)
        }
    )
    times = []
    for _ in range(5):
        start = time.perf_counter()
        load(folder)
        times.append(time.perf_counter() - start)

    assert min(times) < 0.06


def test_a_target_that_is_none_raises_value_error() -> None:
    with pytest.raises(ValueError, match="is not a host"):
        read_host("a b")
