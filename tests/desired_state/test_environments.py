"""Environments: what differs is laid over apps/ and fleet.yaml, and none can touch what belongs to another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from reconciler.cli import read_options
from reconciler.commands.validate import run as validate
from reconciler.desired_state.load import load
from reconciler.desired_state.set_version import declared_in, open_app, write_version
from reconciler.errors import InvalidDesiredState, UnknownEnvironment, UsageError
from reconciler.model.desired import Desired
from reconciler.targets.open_fleet import work_out
from tests.support.desired_folder import HELLO, write

pytestmark = pytest.mark.usefixtures("in_own_folder")

SHA = 64 * "a"
NEW_SHA = 64 * "b"
APP = (
    HELLO.replace('"../hello-{version}.tar.gz"}', f'"https://example.com/hello-{{version}}.tar.gz", sha256: {SHA}}}')
    + "env: {REGION: us, DATABASE_URL: {secret: hello/db}}\nroute: {domains: [example.com]}\n"
)
OTHER = HELLO.replace("hello", "other").replace("4000, 4001", "5000, 5001")
FLEET = "owner: acme\nhosts:\n  web1: {address: 10.0.0.1}\ndefaults: {drain_seconds: 20, env: {TZ: UTC, LOG: info}}\n"
STAGING = """\
hosts:
  staging1: {address: 10.0.9.1}
defaults: {env: {LOG: debug}}
apps:
  hello:
    version: "1.11"
    hosts: [staging1]
    env: {REGION: null, DATABASE_URL: {secret: staging/db}}
    route: {domains: [staging.example.com]}
"""


def folder(fleet: str = FLEET, **environments: str) -> Path:
    path = write({"hello": APP, "other": OTHER}, fleet)
    (path / "environments").mkdir(exist_ok=True)
    for name, text in environments.items():
        (path / "environments" / f"{name}.yaml").write_text(text)
    return path


def refused(environment: str, **environments: str) -> list[str]:
    with pytest.raises(InvalidDesiredState) as error:
        load(folder(**environments), environment=environment)
    return [str(problem).removeprefix("ds/") for problem in error.value.problems]


def owner(desired: Desired) -> str:
    return asyncio.run(work_out(desired, ("hello",), None)).owner


def test_what_an_environment_says_is_laid_over_the_app() -> None:
    """Variables by name, other keys whole; hosts and defaults as they are there. What it does not name is not there."""
    desired = load(folder(staging=STAGING), environment="staging")

    (app,) = desired.apps
    assert (app.app, app.version, app.hosts, app.drain_seconds) == ("hello", "1.11", ("staging1",), 20)
    assert {key: getattr(value, "secret", value) for key, value in app.env.items()} == {
        "TZ": "UTC",
        "LOG": "debug",
        "DATABASE_URL": "staging/db",
    }
    assert app.route is not None
    assert (app.route.domains, app.ports) == (("staging.example.com",), (4000, 4001))
    assert [*desired.fleet.hosts] == ["staging1"]
    assert (desired.environment, desired.environments) == ("staging", ("staging",))


@pytest.mark.parametrize("name", ["", "production"])
def test_without_an_environment_nothing_of_one_counts(name: str) -> None:
    """A mistake in staging does not stop production."""
    with_staging = load(folder(staging="apps: [broken"), environment=name)

    assert [app.hosts for app in with_staging.apps] == [("web1",), ("web1",)]
    assert with_staging.environment == ""


def test_a_digest_of_another_version_does_not_count() -> None:
    """It would refuse the right artifact; with the same version it is that of the same bytes."""
    same = STAGING.replace('    version: "1.11"\n', "")
    own = STAGING.replace('version: "1.11"', f'version: "1.11"\n    artifact: {{sha256: {NEW_SHA}}}')

    digests = [
        load(folder(staging=text), environment="staging").apps[0].artifact.sha256 for text in (STAGING, same, own)
    ]

    assert digests == [None, SHA, NEW_SHA]


def test_every_environment_has_an_owner_of_its_own() -> None:
    """Else each would remove the apps of the other on a machine that both use."""
    production, staging = (load(folder(staging=STAGING), environment=name) for name in ("", "staging"))
    named = load(folder(staging=f"owner: testers\n{STAGING}"), environment="staging")
    nameless = load(folder(fleet=FLEET.replace("owner: acme\n", ""), staging=STAGING), environment="staging")

    assert [owner(each) for each in (production, staging, named)] == ["acme", "acme.staging", "testers"]
    assert owner(nameless).startswith("folder-")
    assert owner(nameless).endswith(".staging")


@pytest.mark.parametrize("other", ["production", "preview"])
def test_an_owner_of_another_environment_is_refused(other: str) -> None:
    name = {"production": "acme", "preview": "testers"}[other]
    preview = "owner: testers\nhosts: {p: {address: 10.0.8.1}}\napps: {}\n"

    assert refused("staging", staging=f"owner: {name}\n{STAGING}", preview=preview) == [
        f"environments/staging.yaml:1:8  owner: {name} is the owner in {other} too, so each would remove the other's "
        "apps; write another, or delete it: without it, an environment has one of its own"
    ]


def test_an_environment_may_share_machines_when_its_app_has_a_name_of_its_own() -> None:
    """On one machine a name is one app: its unit, its folder and its route."""
    staging = "apps:\n  hello: {app: hello-staging, ports: [4100, 4101], route: {domains: [staging.example.com]}}\n"

    (app,) = load(folder(staging=staging), environment="staging").apps

    assert (app.app, app.hosts, app.start_command) == ("hello-staging", ("web1",), "bin/hello start")


@pytest.mark.parametrize(
    ("staging", "expected"),
    [
        (
            "apps:\n  hello:\n",
            ["apps/hello.yaml:1:6  app: in staging, hello is on host web1 in production (ds/apps/hello.yaml:1:6) too"],
        ),
        (
            "hosts: {s1: {address: 10.0.0.1}}\napps: {hello: {hosts: [s1]}}\n",
            ["apps/hello.yaml:1:6  app: in staging, hello is on host s1 in production (ds/apps/hello.yaml:1:6) too"],
        ),
        (
            "apps: {hello: {app: hello-2, ports: [4100, 5001]}}\n",
            [
                "apps/hello.yaml:7:19  route.domains[0]: in staging, example.com is also a route in production",
                "environments/staging.yaml:1:44  apps.hello.ports[1]: 5001 is also a port in production "
                "(ds/apps/other.yaml:5:15), on host web1",
            ],
        ),
        (
            "hosts: {s1: {address: 10.0.9.1}}\napps:\n  hello:\n",
            ["apps/hello.yaml:4:9  hosts[0]: in staging, web1 is a host of production; name hosts of this environment"],
        ),
        (
            "apps: {helo: {}}\n",
            ["environments/staging.yaml:1:8  apps.helo: there is no apps/helo.yaml; did you mean hello?"],
        ),
        (
            "apps: {hello: {hosts: [root@10.0.9.1], versin: 2}}\n",
            ["environments/staging.yaml:1:40  apps.hello.versin: is not a key; did you mean version?"],
        ),
        (
            "apps: {hello: {hosts: [root@10.0.9.1], env: {A: [1]}}}\n",
            ["environments/staging.yaml:1:49  apps.hello.env.A: "],
        ),
        ("host: {}\n", ["environments/staging.yaml:1:1  host: is not a key; did you mean hosts?"]),
        (
            "apps: {other: {hosts: [root@10.0.9.1], after: [hello]}}\n",
            ["environments/staging.yaml:1:48  apps.other.after[0]: there is no app hello; name an app"],
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_is_written(staging: str, expected: list[str]) -> None:
    """In the environment's file if that says it, else in the app's, with the environment in which it is wrong."""
    found = refused("staging", staging=staging)

    assert [each[: len(start)] for each, start in zip(found, expected, strict=True)] == expected


def test_one_traefik_has_one_manager() -> None:
    managed = f"{FLEET}traefik: {{version: 3.7.15, source: t.tgz}}\n"
    staging = "apps:\n  hello: {app: hello-2, ports: [4100, 4101], route: {domains: [s.example.com]}}\n"

    with pytest.raises(InvalidDesiredState) as error:
        load(folder(fleet=managed, staging=staging), environment="staging")
    used = load(folder(fleet=managed, staging=f"traefik: {{api_port: 8080}}\n{staging}"), environment="staging")

    assert "Traefik on host web1 is managed by production" in str(error.value)
    assert not used.fleet.traefik.managed


def test_overrides_of_hosts_that_are_elsewhere_do_not_count() -> None:
    """Those of the app's file are about the hosts that it has in production; one of the environment must apply."""
    path = folder(staging=STAGING)
    (path / "apps" / "hello.yaml").write_text(f"{APP}overrides: {{web1: {{cpu_max: 50%}}}}\n")
    assert load(path, environment="staging").apps[0].on("staging1").cpu_max is None

    (path / "environments" / "staging.yaml").write_text(f"{STAGING}    overrides: {{web1: {{cpu_max: 50%}}}}\n")
    with pytest.raises(
        InvalidDesiredState, match=r"staging.yaml:10:17  apps.hello.overrides.web1: hello does not run on"
    ):
        load(path, environment="staging")


def test_an_unknown_environment_names_those_that_are_there() -> None:
    with pytest.raises(UnknownEnvironment) as error:
        load(folder(staging=STAGING), environment="stagin")

    assert (str(error.value), error.value.next_step) == (
        "there is no environments/stagin.yaml in ds",
        "environments here: production, staging",
    )


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("production", "production is what apps/ and fleet.yaml say by themselves; give it another name"),
        ("Stag.ing", "'Stag.ing' cannot name an environment; use a-z, 0-9, _ and -, a letter first"),
    ],
)
def test_a_file_that_cannot_name_an_environment_is_refused_by_validate(
    file: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(**{file: "apps: {}\n"})

    assert validate(read_options(["validate", "--desired-state", "ds"])) == 2
    assert expected in capsys.readouterr().err


def test_validate_checks_every_environment(capsys: pytest.CaptureFixture[str]) -> None:
    """Two that are right in themselves may want the same of one machine."""
    preview = STAGING.replace("staging1", "p").replace("staging.", "preview.")
    folder(staging=STAGING)
    assert validate(read_options(["validate", "--desired-state", "ds"])) == 0
    assert capsys.readouterr().out == (
        "ok: 2 apps on 1 host (files on disk)\nok: 1 app on 1 host in staging (files on disk)\n"
    )

    folder(staging=STAGING, preview=preview)
    assert validate(read_options(["validate", "--desired-state", "ds"])) == 2
    assert [line[:96] for line in capsys.readouterr().err.splitlines()] == [
        "ds/apps/hello.yaml:1:6  app: in preview, hello is on host p in staging (ds/apps/hello.yaml:1:6) ",
        "ds/apps/hello.yaml:1:6  app: in staging, hello is on host staging1 in preview (ds/apps/hello.yam",
    ]
    assert validate(read_options(["validate", "--desired-state", "ds", "--environment", "production"])) == 0


def test_set_writes_into_the_file_of_the_environment() -> None:
    """Next to the version, since the digest in the app's file is that of another one; comments stay."""
    path = folder(staging=STAGING.replace("apps:\n", "apps:  # ours\n"))

    write_version(open_app(path, "hello", "staging"), "1.12", NEW_SHA)

    assert (path / "environments" / "staging.yaml").read_text() == STAGING.replace(
        "apps:\n", "apps:  # ours\n"
    ).replace('    version: "1.11"\n', f'    version: "1.12"\n    artifact: {{sha256: {NEW_SHA}}}\n')
    assert (path / "apps" / "hello.yaml").read_text() == APP
    write_version(open_app(path, "hello", "staging"), "1.13", 64 * "c")
    assert (
        f'version: "1.13"\n    artifact: {{sha256: {64 * "c"}}}\n' in (path / "environments/staging.yaml").read_text()
    )


def test_set_finds_an_app_under_either_of_its_names() -> None:
    staging = (
        f"apps: {{hello: {{app: hello-2, version: '1.11', hosts: [root@10.0.9.1], artifact: {{sha256: {SHA}}}}}}}\n"
    )
    path = folder(staging=staging)

    for name, version in (("hello", "1.12"), ("hello-2", "1.13")):
        assert write_version(open_app(path, name, "staging"), version, NEW_SHA).version == version
    with pytest.raises(UsageError, match="staging has no app 'other'"):
        open_app(path, "other", "staging")


def test_a_promotion_takes_the_version_and_its_digest() -> None:
    """What was proven in staging is what production gets, byte for byte."""
    path = folder(staging=STAGING.replace('"1.11"', f'"1.11"\n    artifact: {{sha256: {NEW_SHA}}}'))
    app = open_app(path, "hello")

    assert declared_in(app, "staging") == ("1.11", NEW_SHA)
    write_version(app, *declared_in(app, "staging"))
    assert (path / "apps" / "hello.yaml").read_text() == APP.replace("1.10", "1.11").replace(SHA, NEW_SHA)


def test_a_promotion_of_another_source_finds_the_digest_anew() -> None:
    """A build of its own for staging has other bytes."""
    source = "https://example.com/staging/hello-{version}.tar.gz"
    path = folder(staging=STAGING.replace('"1.11"', f'"1.11"\n    artifact: {{source: "{source}", sha256: {NEW_SHA}}}'))

    assert declared_in(open_app(path, "hello"), "staging") == ("1.11", None)
