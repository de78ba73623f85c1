"""`traefik:` of fleet.yaml: what may be written, the settings it becomes, and the app that runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.apply.default_certificate import new_certificate
from reconciler.desired_state.load import load
from reconciler.errors import InvalidDesiredState
from reconciler.model.machine import read_host
from reconciler.model.secret import SecretRef
from reconciler.model.traefik import Traefik
from reconciler.targets.resolve import resolve
from reconciler.targets.site import HostSite
from reconciler.targets.traefik_app import all_apps, traefik_app
from reconciler.tools.traefik_static import etcd_settings, static_settings

DIGEST = "a" * 64
ACME = {"email": "ops@example.com"}


def traefik(**keys: Any) -> Traefik:
    return Traefik.model_validate({"version": "3.7.15", "source": "traefik.tar.gz", **keys})


def etcd(**keys: Any) -> dict[str, Any]:
    return {"routes": "etcd", "etcd": {"endpoints": ["http://10.0.0.5:2379"], **keys}}


def settings(**keys: Any) -> dict[str, str]:
    return static_settings(traefik(**keys))


def test_the_settings_of_a_plain_traefik() -> None:
    """All of them: Traefik takes nothing from anywhere else."""
    lifecycle = "TRANSPORT_LIFECYCLE_GRACETIMEOUT"
    limits = "TRANSPORT_RESPONDINGTIMEOUTS"

    assert settings() == {
        "TRAEFIK_API_DASHBOARD": "false",
        "TRAEFIK_API_INSECURE": "true",
        "TRAEFIK_ENTRYPOINTS_TRAEFIK_HTTP_ALIASHEADERSSTRATEGY": "delete",
        "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": ":80",
        "TRAEFIK_ENTRYPOINTS_WEB_HTTP_ALIASHEADERSSTRATEGY": "delete",
        "TRAEFIK_ENTRYPOINTS_WEB_REUSEPORT": "true",
        f"TRAEFIK_ENTRYPOINTS_WEB_{lifecycle}": "30s",
        f"TRAEFIK_ENTRYPOINTS_WEB_{limits}_READTIMEOUT": "900s",
        f"TRAEFIK_ENTRYPOINTS_WEB_{limits}_WRITETIMEOUT": "0s",
        f"TRAEFIK_ENTRYPOINTS_WEB_{limits}_IDLETIMEOUT": "180s",
        "TRAEFIK_ENTRYPOINTS_WEBSECURE_ADDRESS": ":443",
        "TRAEFIK_ENTRYPOINTS_WEBSECURE_ASDEFAULT": "true",
        "TRAEFIK_ENTRYPOINTS_WEBSECURE_HTTP_ALIASHEADERSSTRATEGY": "delete",
        "TRAEFIK_ENTRYPOINTS_WEBSECURE_HTTP_TLS": "true",
        "TRAEFIK_ENTRYPOINTS_WEBSECURE_REUSEPORT": "true",
        f"TRAEFIK_ENTRYPOINTS_WEBSECURE_{lifecycle}": "30s",
        f"TRAEFIK_ENTRYPOINTS_WEBSECURE_{limits}_READTIMEOUT": "900s",
        f"TRAEFIK_ENTRYPOINTS_WEBSECURE_{limits}_WRITETIMEOUT": "0s",
        f"TRAEFIK_ENTRYPOINTS_WEBSECURE_{limits}_IDLETIMEOUT": "180s",
        "TRAEFIK_GLOBAL_CHECKNEWVERSION": "false",
        "TRAEFIK_GLOBAL_SENDANONYMOUSUSAGE": "false",
        "TRAEFIK_LOG_LEVEL": "INFO",
        "TRAEFIK_LOG_NOCOLOR": "true",
        "TRAEFIK_PING_ENTRYPOINT": "traefik",
        "TRAEFIK_PROVIDERS_FILE_WATCH": "true",
        "TRAEFIK_PROVIDERS_PROVIDERSTHROTTLEDURATION": "20ms",
        "TRAEFIK_SERVERSTRANSPORT_FORWARDINGTIMEOUTS_DIALTIMEOUT": "2s",
        "TRAEFIK_SERVERSTRANSPORT_FORWARDINGTIMEOUTS_IDLECONNTIMEOUT": "1s",
    }


def test_certificates_switch_the_redirect_to_https_on() -> None:
    added = {key: value for key, value in settings(acme=ACME).items() if key not in settings()}
    acme = "TRAEFIK_CERTIFICATESRESOLVERS_LETSENCRYPT_ACME"
    redirection = "TRAEFIK_ENTRYPOINTS_WEB_HTTP_REDIRECTIONS_ENTRYPOINT"

    assert added == {
        f"{acme}_EMAIL": "ops@example.com",
        f"{acme}_STORAGE": "/var/lib/traefik/acme.json",
        f"{acme}_KEYTYPE": "EC256",
        f"{acme}_HTTPCHALLENGE_ENTRYPOINT": "web",
        "TRAEFIK_ENTRYPOINTS_WEBSECURE_HTTP_TLS_CERTRESOLVER": "letsencrypt",
        f"{redirection}_TO": "websecure",
        f"{redirection}_SCHEME": "https",
        f"{redirection}_PERMANENT": "true",
    }
    assert not any("REDIRECTIONS" in key for key in settings(acme=ACME, redirect_to_https=False))
    assert any("REDIRECTIONS" in key for key in settings(redirect_to_https=True))


def test_each_authority_has_a_file_of_its_own() -> None:
    """From staging to production in one commit: the account of one is no use to the other."""
    key = "TRAEFIK_CERTIFICATESRESOLVERS_LETSENCRYPT_ACME"
    staging = settings(acme={**ACME, "staging": True})
    other = settings(acme={**ACME, "ca_server": "https://ca.example.com/directory"})

    assert staging[f"{key}_STORAGE"] == "/var/lib/traefik/acme-staging.json"
    assert staging[f"{key}_CASERVER"] == "https://acme-staging-v02.api.letsencrypt.org/directory"
    assert other[f"{key}_CASERVER"] == "https://ca.example.com/directory"
    assert other[f"{key}_STORAGE"].startswith("/var/lib/traefik/acme-")


def test_the_dns_challenge_names_its_provider_whose_variables_go_along() -> None:
    acme = {**ACME, "challenge": "dns", "provider": "cloudflare", "env": {"CF_DNS_API_TOKEN": {"secret": "cf"}}}
    app = traefik_app(desired(f"{{version: 3.7.15, source: t.tgz, acme: {acme}}}".replace("'", "")))

    assert app is not None
    assert app.env["TRAEFIK_CERTIFICATESRESOLVERS_LETSENCRYPT_ACME_DNSCHALLENGE_PROVIDER"] == "cloudflare"
    assert app.env["CF_DNS_API_TOKEN"] == SecretRef(secret="cf")


def test_other_ports_a_log_and_proxies_in_front() -> None:
    said = settings(http_port=8000, https_port=8443, access_log=True, trusted_proxies=["192.0.2.1", "10.0.0.0/8"])

    assert said["TRAEFIK_ENTRYPOINTS_WEB_ADDRESS"] == ":8000"
    assert said["TRAEFIK_ENTRYPOINTS_WEB_FORWARDEDHEADERS_TRUSTEDIPS"] == "192.0.2.1,10.0.0.0/8"
    assert said["TRAEFIK_ACCESSLOG_FORMAT"] == "json"


def test_balancers_with_the_proxy_protocol_are_trusted_on_every_entry_point() -> None:
    found = settings(proxy_protocol=("192.0.2.0/24", "2001:db8::1"), tcp_ports={"pg": 5432})

    named = {key: value for key, value in found.items() if "PROXYPROTOCOL" in key}
    places = [f"TRAEFIK_ENTRYPOINTS_{name}_PROXYPROTOCOL_TRUSTEDIPS" for name in ("WEB", "WEBSECURE", "PG")]
    assert named == dict.fromkeys(places, "192.0.2.0/24,2001:db8::1")


@pytest.mark.parametrize(
    ("acme", "refused"),
    [
        ("", False),
        (", acme: {email: a@b.de}", True),
        (", acme: {email: a@b.de, challenge: dns, provider: cloudflare}", False),
    ],
)
def test_a_wildcard_needs_a_challenge_that_can_prove_it(acme: str, refused: bool) -> None:
    keys = f"{{version: 3.7.15, source: t.tgz{acme}}}"
    app = APP.replace("[example.com]", "['*.example.com']")
    assert "*." in app

    if not refused:
        desired(keys, app)
        return
    with pytest.raises(InvalidDesiredState, match="gets no certificate by the http challenge"):
        desired(keys, app)


def test_entry_points_of_tcp_routes_listen_like_the_others() -> None:
    said = settings(tcp_ports={"postgres": 5432})

    assert said["TRAEFIK_ENTRYPOINTS_POSTGRES_ADDRESS"] == ":5432"
    assert said["TRAEFIK_ENTRYPOINTS_POSTGRES_REUSEPORT"] == "true"


def test_the_time_limits_of_visitors_are_the_configured_ones() -> None:
    """Connections of TCP routes have no such limits: Traefik would lift them anyway."""
    said = settings(timeouts={"read_seconds": 3, "write_seconds": "7", "idle_seconds": 0}, tcp_ports={"db": 5432})
    limits = {key: value for key, value in said.items() if "RESPONDINGTIMEOUTS" in key}

    assert limits == {
        f"TRAEFIK_ENTRYPOINTS_{name}_TRANSPORT_RESPONDINGTIMEOUTS_{kind}TIMEOUT": value
        for name in ("WEB", "WEBSECURE")
        for kind, value in (("READ", "3s"), ("WRITE", "7s"), ("IDLE", "0s"))
    }
    assert settings(timeouts=None) == settings()


def test_the_metrics_have_an_entry_point_of_their_own_on_loopback() -> None:
    """Off unless wanted, so that an upgrade of reconcile changes no Traefik."""
    more = settings(metrics=True, metrics_port=9082).items() - settings().items()

    assert dict(more) == {
        "TRAEFIK_ENTRYPOINTS_METRICS_ADDRESS": "127.0.0.1:9082",
        "TRAEFIK_ENTRYPOINTS_METRICS_REUSEPORT": "true",
        "TRAEFIK_METRICS_PROMETHEUS_ENTRYPOINT": "metrics",
    }
    assert traefik(tcp_ports={"metrics": 9000}).own_ports == (80, 443, 9000)
    assert traefik(metrics=True).own_ports == (80, 443, 8082)


def test_an_older_traefik_gets_no_setting_it_does_not_know() -> None:
    assert not any("ALIASHEADERS" in key for key in settings(version="3.7.14"))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"version": None, "acme": ACME}, "is only for a managed Traefik"),
        ({"version": "v3.7.15"}, "v3.7.15 is not a version 3 of Traefik"),
        ({"version": "2.11.0"}, "2.11.0 is not a version 3 of Traefik"),
        ({"source": "https://example.com/t.tgz"}, "needs a sha256 beside it"),
        ({"http_entry_point": "web-in"}, "web-in cannot be configured by reconcile"),
        ({"https_entry_point": "traefik"}, "traefik cannot be configured by reconcile"),
        ({"http_entry_point": "websecure"}, "is also the one for http"),
        ({"http_port": 443}, "443 is also http_port"),
        ({"routes": "etcd"}, "needs etcd beside it"),
        ({"etcd": {"endpoints": ["http://10.0.0.5"]}}, "is not used"),
        (etcd(endpoints=[]), "is an empty list"),
        (etcd(endpoints=["10.0.0.5:2379"]), "is not the address of a member of etcd"),
        (etcd(endpoints=["http://10.0.0.5/v3"]), "is not the address of a member of etcd"),
        (etcd(endpoints=["http://10.0.0.5:70000"]), "has a port outside 1 to 65535"),
        (etcd(endpoints=["http://10.0.0.5", "https://10.0.0.6"]), "mixes http and https"),
        (etcd(tls={"ca": "PEM"}), "is for https endpoints"),
        (etcd(endpoints=["https://a"], tls={"key": {"secret": "k"}}), "needs certificate beside it"),
        (etcd(username="ann"), "needs password beside it"),
        (etcd(password={"secret": "p"}), "needs username beside it"),
        ({"http_port": 8081}, "8081 is also api_port + 1"),
        ({"tcp_ports": {"web": 5432}}, "web is an entry point for http"),
        ({"tcp_ports": {"db": 443}}, "443 is also https_port"),
        ({"tcp_ports": {"my-db": 5432}}, "my-db cannot be configured by reconcile"),
        ({"metrics": True, "https_port": 8082}, "8082 is also https_port"),
        ({"metrics": True, "metrics_port": 8081}, "8081 is also api_port + 1"),
        ({"metrics": True, "tcp_ports": {"metrics": 9000}}, "metrics is the entry point of Traefik's metrics"),
        ({"metrics_port": 9000}, "is the port of metrics, which are off"),
        ({"version": None, "metrics": True}, "is only for a managed Traefik"),
        ({"cert_resolver": "le"}, "names a resolver that is not configured"),
        ({"acme": {"email": "nobody"}}, "'nobody' is not an e-mail address"),
        ({"acme": {**ACME, "challenge": "dns"}}, "dns needs a provider"),
        ({"acme": {**ACME, "provider": "cloudflare"}}, "is for the dns challenge"),
        ({"acme": {**ACME, "staging": True, "ca_server": "https://a.b"}}, "ca_server names another authority"),
        ({"acme": {**ACME, "env": {"TRAEFIK_LOG_LEVEL": "DEBUG"}}}, "is a setting of Traefik itself"),
        ({"acme": {**ACME, "env": {"LD_LIBRARY_PATH": "/srv/traefik"}}}, "is read by the dynamic linker"),
        ({"timeouts": {"read_seconds": -1}}, "-1 is outside 0 to 86400"),
        ({"timeouts": {"read_seconds": "15m"}}, "'15m' is not a whole number"),
        ({"timeouts": {"read": 900}}, "read"),
        ({"version": None, "timeouts": {"read_seconds": 3}}, "is only for a managed Traefik"),
        ({"trusted_proxies": ["10.0.0.0/40"]}, "is not an address or network"),
    ],
)
def test_settings_that_cannot_work_are_refused(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason.replace("+", r"\+")):
        traefik(**keys)


# --- the app that it becomes

APP = """\
app: hello
version: 1
artifact: {source: x}
hosts: [b, a]
ports: [4000, 4001]
route: {domains: [example.com]}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def desired(keys: str = "{version: 3.7.15, source: t.tgz}", app: str = APP) -> Any:
    folder = Path("ds")
    (folder / "apps").mkdir(parents=True, exist_ok=True)
    (folder / "apps" / "hello.yaml").write_text(app)
    (folder / "fleet.yaml").write_text(f"traefik: {keys}\n")
    return load(folder)


def test_traefik_runs_on_every_host_with_a_routed_app_in_its_own_two_slots() -> None:
    app = traefik_app(desired())

    assert app is not None
    assert (app.app, app.hosts, app.ports, app.route) == ("traefik", ("a", "b"), (8080, 8081), None)
    assert [each.app for each in all_apps(desired())] == ["traefik", "hello"]


def test_without_a_version_or_a_route_no_traefik_is_run() -> None:
    assert traefik_app(desired("{api_port: 8080}")) is None
    assert traefik_app(desired(app=APP.replace("route: {domains: [example.com]}\n", ""))) is None


def test_the_unit_of_traefik_may_bind_low_ports_and_cannot_see_the_apps() -> None:
    state = desired()
    app = traefik_app(state)
    assert app is not None
    files = resolve(
        app, HostSite("a", read_host("a"), (8080, 8081)), state.fleet.traefik, Path(), DIGEST, lambda name: ""
    )
    lines = files.unit_text().splitlines()

    for line in (
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "TemporaryFileSystem=/etc/traefik:ro",
        "TemporaryFileSystem=/srv:ro",
        "BindReadOnlyPaths=/etc/traefik/dynamic",
        "BindReadOnlyPaths=/srv/traefik",
        "InaccessiblePaths=-/etc/reconcile -/var/lib/reconcile",
        "SystemCallFilter=~@privileged @resources",
        "Environment=TRAEFIK_ENTRYPOINTS_TRAEFIK_ADDRESS=127.0.0.1:%i",
        "TimeoutStopSec=40",
    ):
        assert line in lines
    assert files.target.proxy


def test_routes_name_the_resolver_that_acme_sets_up() -> None:
    assert traefik(acme=ACME).resolver == "letsencrypt"
    assert traefik(acme=ACME, cert_resolver="le").resolver == "le"
    assert traefik().resolver is None
    assert Traefik().resolver == "letsencrypt"  # as somebody else's Traefik is expected to have it


def test_traefik_reads_routes_from_etcd_and_its_secrets_stay_references() -> None:
    plain = traefik(**etcd(endpoints=["http://10.0.0.5", "http://[fd00::6]:2380", "http://[fd00::7]"])).etcd
    assert plain is not None
    assert etcd_settings(plain) == {
        "TRAEFIK_PROVIDERS_ETCD_ENDPOINTS": "10.0.0.5:2379,[fd00::6]:2380,[fd00::7]:2379",
        "TRAEFIK_PROVIDERS_ETCD_ROOTKEY": "traefik",
    }
    named = {name: {"secret": f"etcd/{name}"} for name in ("ca", "certificate", "key")}
    keys = etcd(endpoints=["https://etcd1"], tls=named, username="ann", password={"secret": "etcd/password"})
    app = traefik_app(desired(f"{json.dumps({'version': '3.7.15', 'source': 't', **keys})}"))
    assert app is not None
    found = {key: value for key, value in app.env.items() if key.startswith("TRAEFIK_PROVIDERS_ETCD_")}
    secrets = {key: f"etcd/{name}" for key, name in (("CA", "ca"), ("CERT", "certificate"), ("KEY", "key"))}
    assert found == {
        "TRAEFIK_PROVIDERS_ETCD_ENDPOINTS": "etcd1:2379",
        "TRAEFIK_PROVIDERS_ETCD_ROOTKEY": "traefik",
        "TRAEFIK_PROVIDERS_ETCD_TLS_INSECURESKIPVERIFY": "false",
        "TRAEFIK_PROVIDERS_ETCD_USERNAME": "ann",
        "TRAEFIK_PROVIDERS_ETCD_PASSWORD": SecretRef(secret="etcd/password"),
        **{f"TRAEFIK_PROVIDERS_ETCD_TLS_{key}": SecretRef(secret=name) for key, name in secrets.items()},
    }


@pytest.mark.parametrize(
    ("keys", "app", "problem"),
    [
        ("{version: 3.7.15, source: t}", "ports: [8081, 4001]", "8081 is the port of Traefik's API"),
        ("{http_entry_point: traefik}", "", "is the entry point of Traefik's own API"),
        ("{https_entry_point: Traefik}", "", "is the entry point of Traefik's own API"),
        ("{version: 3.7.15, source: t, http_port: 4000}", "", "4000 is a port of Traefik's entry points"),
        (
            "{version: 3.7.15, source: t, redirect_to_https: true}",
            "route: {domains: [example.com], tls: false}",
            "Traefik redirects plain http to https before it looks at any route",
        ),
    ],
)
def test_an_app_that_conflicts_with_traefik_is_refused(keys: str, app: str, problem: str) -> None:
    key = app.partition(":")[0]
    lines = [app if key and line.startswith(f"{key}:") else line for line in APP.splitlines()]
    with pytest.raises(InvalidDesiredState, match=problem):
        desired(keys, "\n".join(lines) + "\n")


def test_the_default_certificate_is_a_pair_that_fits_together(tmp_path: Path) -> None:
    import ssl

    path = tmp_path / "certificate"
    path.write_text(new_certificate())

    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, path)
