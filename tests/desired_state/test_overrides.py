"""Other values on some hosts: which layer wins, what cannot differ, and where a mistake in one is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.changes import changes
from reconciler.desired_state.load import load
from reconciler.desired_state.overlay import overlay, part_of
from reconciler.desired_state.yaml_text import read_yaml
from reconciler.model.app import App
from reconciler.model.fields import MayBeEmpty
from reconciler.model.overrides import SAME_EVERYWHERE, Overrides
from reconciler.model.references import references_in
from reconciler.targets.processes import with_processes
from tests.support.desired_folder import HELLO, problems, write

pytestmark = pytest.mark.usefixtures("in_own_folder")

FLEET = """\
hosts:
  web1: {address: 10.0.0.1, groups: [eu, big]}
  web2: {address: 10.0.0.2, groups: [eu]}
  web3: {address: 10.0.0.3}
defaults: {drain_seconds: 20, env: {TZ: Europe/Vienna, LOG: info}}
"""
APP = HELLO.replace("[web1]", "[web1, web2, web3]") + "env: {REGION: us, LOG: debug}\nmemory_max: 1G\n"


def hello(overrides: str, more: str = "") -> App:
    return load(write({"hello": f"{APP}{more}overrides:\n{overrides}"}, FLEET)).apps[0]


def test_the_layers_count_in_the_order_that_is_written_down() -> None:
    """Defaults of the fleet, the app, its groups in the order written, the host: each over the ones before."""
    app = hello(
        "  web1: {env: {LOG: error}, cpu_max: 50%}\n"
        "  group:big: {memory_max: 4G, env: {SIZE: big, LOG: warn}}\n"
        "  group:eu: {memory_max: 2G, env: {REGION: eu, SIZE: any}}\n"
    )

    seen = {host: (app.on(host).env, app.on(host).memory_max, app.on(host).cpu_max) for host in app.hosts}
    assert seen == {
        "web1": ({"TZ": "Europe/Vienna", "REGION": "eu", "LOG": "error", "SIZE": "any"}, "2G", "50%"),
        "web2": ({"TZ": "Europe/Vienna", "REGION": "eu", "LOG": "debug", "SIZE": "any"}, "2G", None),
        "web3": ({"TZ": "Europe/Vienna", "REGION": "us", "LOG": "debug"}, "1G", None),
    }


def test_null_takes_a_value_away_and_the_default_of_reconcile_counts() -> None:
    """That of fleet.yaml as well: else there would be no way past it."""
    app = hello("  web1: {env: {REGION: null, TZ: null}, memory_max: null, drain_seconds: null}\n  web2: {env: }\n")

    assert app.on("web1").env == {"LOG": "debug"}
    assert (app.on("web1").memory_limit, app.on("web1").drain_seconds) == ("40%", 10)
    assert app.on("web2").env == app.on("web3").env


def test_a_route_is_replaced_whole_and_can_be_taken_away() -> None:
    """Half a route is no route: what its other keys mean depends on the whole."""
    route = "route: {domains: [example.com], tls: false, compress: true}\n"

    app = hello("  web1: {route: {domains: [eu.example.com]}}\n  web3: {route: null}\n", route)

    routes = {
        host: (found.domains, found.tls, found.compress) if (found := app.on(host).route) else None
        for host in app.hosts
    }
    assert routes == {
        "web1": (("eu.example.com",), True, False),
        "web2": (("example.com",), False, True),
        "web3": None,
    }


def test_hosts_with_the_same_overrides_share_one_app() -> None:
    """Hundreds of hosts in three groups cost three apps, and what is left to apply is nothing."""
    app = hello("  group:eu: {cpu_max: 50%}\n")

    assert app.on("web1") is app.on("web2")
    assert [each.overrides for each in app.variants] == [{}, {}]
    assert app.on("elsewhere") is app


def test_a_process_has_the_values_of_its_host() -> None:
    """Its env and limits are those of the app wherever it does not say otherwise."""
    app = hello(
        "  group:eu: {env: {REGION: eu}, memory_max: 2G}\n",
        "processes: {mailer: {start: bin/mail, hosts: [web1, web3], env: {LOG: none}}}\n",
    )

    _, mailer = with_processes(app)

    assert {host: (mailer.on(host).env["REGION"], mailer.on(host).memory_max) for host in mailer.hosts} == {
        "web1": ("eu", "2G"),
        "web3": ("us", "1G"),
    }
    assert {each.env["LOG"] for each in mailer.variants} == {"none"}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            "  web9: {cpu_max: 50%}",
            "9:3  overrides.web9: hello does not run on web9; name one of web1, web2, web3, or a",
        ),
        (
            "  group:us: {cpu_max: 50%}",
            "9:3  overrides.group:us: no host of hello is in group us; groups of its hosts: eu",
        ),
        ("  web1: {version: 2}", "9:19  overrides.web1.version: is the same on all hosts: a version is proven on one"),
        ("  web1: {hosts: [web2]}", "9:17  overrides.web1.hosts: is said once, by hosts of the app; change hosts"),
        ("  web1: {cpu_mx: 50%}", "9:10  overrides.web1.cpu_mx: is not a key; did you mean cpu_max?"),
        ("  web1: {cpu_max: lots}", "9:19  overrides.web1.cpu_max: 'lots' "),
        ("  web1: {ports: null}", "9:17  overrides.web1.ports: cannot be taken away: with a port or without is two"),
        ("  web1: {}", "9:9  overrides.web1: overrides nothing; write a key below it, or delete it"),
        ("  web1:", "9:3  overrides.web1: has no value; write one, or delete the line"),
        (
            "  group:eu: {health: {host: a}, route: {domains: [A.de, a.de]}}",
            "9:57  overrides.group:eu.route.domains[1]: a.de",
        ),
        (
            "  web1: {env: {NAME: x}}\n  '!web2': {cpu_max: 50%}",
            "10:3  overrides.!web2: '!web2' is not a host or",
        ),
    ],
)
def test_what_is_wrong_is_told_at_the_key(overrides: str, expected: str) -> None:
    found = problems({"hello": f"{APP}overrides:\n{overrides}"}, FLEET)

    assert [each.removeprefix("apps/hello.yaml:")[: len(expected)] for each in found] == [expected]


def test_what_only_the_joined_values_make_wrong_is_told_at_the_override() -> None:
    """Each layer is right in itself. hello's second port is that of other only on web2."""
    other = HELLO.replace("hello", "other").replace("[web1]", "[web2]").replace("4000, 4001", "4100, 4101")

    found = problems({"hello": f"{APP}overrides: {{web2: {{ports: [4000, 4101]}}}}", "other": other}, FLEET)

    assert found == [
        "apps/other.yaml:5:15  ports[1]: 4101 is also a port of hello (ds/apps/hello.yaml:8:34), on host web2; "
        "change one of the two"
    ]


def test_a_host_keeps_its_cookie_secret() -> None:
    """An override cannot open a node that the app keeps shut."""
    node = "distribution: sname\n"
    app = APP.replace("LOG: debug", "LOG: debug, RELEASE_COOKIE: {secret: c}")

    found = problems({"hello": f"{app}{node}overrides: {{web2: {{env: {{RELEASE_COOKIE: monster}}}}}}"}, FLEET)

    assert found[0].startswith("apps/hello.yaml:8:15  distribution: is sname: every program on the host")


def test_a_worker_stays_a_worker() -> None:
    worker = APP.replace("ports: [4000, 4001]\n", "")

    assert problems({"hello": f"{worker}overrides: {{web2: {{ports: [4000]}}}}"}, FLEET) == [
        "apps/hello.yaml:7:27  overrides.web2.ports: needs ports of the app: with a port or without is two kinds of "
        "app; write ports for the app"
    ]


def test_a_variable_that_decides_about_a_migration_is_the_same_everywhere() -> None:
    """A release is migrated from one host for all: with another database on one of them, that would stay as it was."""
    more = "migrate: bin/migrate\nmigrate_when: [REGION]\n"

    assert problems({"hello": f"{APP}{more}overrides: {{web2: {{env: {{REGION: eu}}}}}}"}, FLEET) == [
        "apps/hello.yaml:10:34  overrides.web2.env.REGION: REGION is in migrate_when, and a release migrates once for "
        "all hosts; write an environment for hosts with a database of their own: environments/NAME.yaml"
    ]


def test_every_key_of_an_app_can_be_overridden_or_is_refused_with_a_reason() -> None:
    """A new key has to take a side, and one that can be overridden has the values that it has in an app."""
    overridable = Overrides.model_fields.keys()

    assert overridable | SAME_EVERYWHERE.keys() == App.model_fields.keys()
    assert not overridable & SAME_EVERYWHERE.keys()


@pytest.mark.parametrize("key", sorted(Overrides.model_fields.keys() - {"env"}))
def test_a_key_that_can_be_overridden_has_the_type_that_it_has_in_an_app(key: str) -> None:
    def kind(model: type[App] | type[Overrides]) -> str:
        field = model.model_fields[key]
        checks = [each for each in field.metadata if not isinstance(each, MayBeEmpty)]
        return f"{field.annotation}{checks or ''}".replace("typing.Optional", "").replace(" | None", "")

    schema = [model.model_json_schema()["properties"][key] for model in (App, Overrides)]

    def allowed(described: dict[str, object]) -> dict[str, object]:
        options = described.get("anyOf")
        if isinstance(options, list) and {"type": "null"} in options and len(options) == 2:
            described = {**described, **next(each for each in options if each != {"type": "null"})}
        return {
            name: each for name, each in described.items() if name not in ("anyOf", "default", "description", "title")
        }

    assert allowed(schema[1]) == allowed(schema[0])


def test_secrets_of_overrides_are_found() -> None:
    app = hello("  web1: {env: {TOKEN: {secret: hello/eu}}}\n")

    assert [(each.name, each.key) for each in references_in(app, "hello")] == [("hello/eu", "overrides.web1.env.TOKEN")]


def test_a_change_of_an_override_is_told_by_host_and_key() -> None:
    states = [
        load(write({"hello": f"{APP}overrides: {{web1: {{{keys}}}}}"}, FLEET))
        for keys in ("memory_max: 2G, env: {A: x}", "memory_max: null, env: {A: y}")
    ]

    assert [each.text for each in changes(states[0], states[1], {}, {})] == [
        "override web1 env A changed",
        "override web1 memory_max 2G → taken away",
    ]


VALUES = st.dictionaries(
    st.sampled_from(["a", "b", "env"]),
    st.none() | st.sampled_from(["1", "2"]) | st.dictionaries(st.sampled_from(["X", "Y"]), st.none() | st.just("v")),
)


@given(VALUES, VALUES)
def test_each_value_has_the_place_where_it_is_written(below: dict[str, object], above: dict[str, object]) -> None:
    """Whatever is laid over what, an error about a value leads to the line of that value."""
    lower = read_yaml(_lines({"low": below}).encode(), "low.yaml")
    upper = read_yaml(_lines({"up": above}).encode(), "up.yaml")

    joined = overlay(part_of(lower, ("low",)), part_of(upper, ("up",)))

    if not isinstance(joined.value, dict):
        return
    for key, value in joined.value.items():
        assert joined.places[key,].file in ("low.yaml", "up.yaml")
        for name in value if isinstance(value, dict) else ():
            place = joined.places[key, name]
            source = {"low.yaml": below, "up.yaml": above}[place.file][key]
            assert isinstance(source, dict)
            assert source[name] == value[name]
            assert place.path == ("low" if place.file == "low.yaml" else "up", key, name)


def _lines(value: object, indent: str = "") -> str:
    if not isinstance(value, dict) or not value:
        return " {}\n" if isinstance(value, dict) else f" {value or ''}\n"
    start = "\n" if indent else ""
    return start + "".join(f"{indent}{key}:{_lines(inner, indent + '  ')}" for key, inner in value.items())
