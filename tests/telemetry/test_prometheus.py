"""deploy/prometheus and deploy/grafana against the real Prometheus of Debian, and what we and Traefik really say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.daemon.http_server import serve
from reconciler.daemon.metrics import CONTENT_TYPE, Metrics
from reconciler.errors import GitError
from reconciler.model.action import Blocked, Converged, RejectRelease, RepairFiles, StartInstance
from reconciler.model.identity import Identity
from reconciler.model.observed_job import JobRun, ObservedJob
from reconciler.model.outcome import Outcome
from reconciler.model.traefik import Traefik
from reconciler.tools.traefik_static import static_settings
from tests.hosts.proxy import traefik_binary
from tests.support.child import killed_at_the_end
from tests.tools.test_traefik_answers import free_ports

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "reconcile.json").read_text(encoding="utf-8"))
NAMED = re.compile(r"\b(?:reconcile|traefik)_[a-z_]+\b")
VARIABLES = {"$__rate_interval": "5m", "$app": ".*", "$host": ".*"}
IDENTITY = Identity("2-000000000000", "e", "u")


def lived() -> Metrics:
    """The metrics of a process that has met everything: each family has a series."""
    made = Metrics(time.time)
    where = ("web1", "hello", "version 1 → 2")
    jobs = (ObservedJob("nightly", files=(("a", "b"),), last=JobRun(1, 2, "exit-code", 1, "")),)
    tried = (StartInstance(*where, "4001", IDENTITY), RejectRelease(*where, "4001", IDENTITY, "unhealthy"))
    repaired = RepairFiles("web1", "shop", "its env file was changed", "4000", IDENTITY, drift="env")
    outcomes = [
        Outcome(Blocked("web1", "hello", "unhealthy", kind="unhealthy"), tried, 42.0, waited_seconds=1.0, jobs=jobs),
        Outcome(Converged("web1", "shop", "3", "4000"), (repaired,), 0.2, certificate_ends=1_800_000_000),
        Outcome(Blocked("web1", "blog", "paused", kind="suspended")),
    ]
    made.observe_pass("web1", 43.0, outcomes, wants={"hello": "2", "shop": "3", "blog": "1"}, suspended=["blog"])
    made.observe_error(GitError("away"))
    made.set_git_head(time.time() - 60)
    return made


@dataclass(frozen=True)
class Server:
    """A running Prometheus."""

    port: int

    def ask(self, path: str, **words: str) -> Any:
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{words}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[dict[str, str]]:
        """The labels of each series that the expression gives."""
        return [each["metric"] for each in self.ask("query", query=expression)["result"]]


@contextlib.contextmanager
def listening(made: Metrics) -> Iterator[int]:
    """Our own server with /metrics, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    gets = {"/metrics": lambda: (200, CONTENT_TYPE, made.render(1))}
    server = asyncio.run_coroutine_threadsafe(serve("127.0.0.1:0", gets), loop).result(10)
    yield server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Debian's Prometheus with our configuration, which asks our /metrics every 200 ms."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_ports(1)[0]
    shutil.copy(PROMETHEUS / "reconcile.rules.yml", folder)
    with listening(lived()) as ours:
        settings = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
        settings["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms", "scrape_timeout": "200ms"}
        reconcile, _ = settings["scrape_configs"]
        reconcile["static_configs"][0]["targets"] = [f"127.0.0.1:{ours}"]
        settings["scrape_configs"] = [reconcile]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        words = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        started = subprocess.Popen(
            ["prometheus", *words, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        )
        with killed_at_the_end(started):
            server = Server(port)
            wait_until(lambda: server.query("reconcile_up"))
            yield server


def wait_until(holds: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, AssertionError, ValueError):
            if holds():
                return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


def expressions() -> dict[str, str]:
    """Every expression of the dashboard and of the rules, by a name for it."""
    rules = yaml.safe_load((PROMETHEUS / "reconcile.rules.yml").read_text(encoding="utf-8"))
    found = {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    for panel in DASHBOARD["panels"]:
        found |= {f"{panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    for name, value in VARIABLES.items():
        found = {each: expression.replace(name, value) for each, expression in found.items()}
    return found


def test_the_files_and_the_alerts_are_what_promtool_takes() -> None:
    for words in (
        ["check", "rules", str(PROMETHEUS / "reconcile.rules.yml")],
        ["check", "config", str(PROMETHEUS / "prometheus.yml")],
        ["test", "rules", str(Path(__file__).parent / "alerts.test.yml")],
    ):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_loads_the_rules_and_sees_what_is_wrong(prometheus: Server) -> None:
    groups = prometheus.ask("rules")["groups"]
    loaded = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert loaded.keys() == {rule for rule in expressions() if "Reconcile" in rule or rule == "CertificateExpires"}

    def alerts() -> set[tuple[str, str, str]]:
        found = [each["labels"] for each in prometheus.ask("alerts")["alerts"]]
        return {(each["alertname"], each.get("app", ""), each.get("job", "")) for each in found}

    wait_until(lambda: len(alerts()) >= 4)
    assert alerts() == {
        ("ReconcileAppDown", "hello", ""),
        ("ReconcileHostNotConverged", "", "reconcile"),
        ("ReconcileJobFailed", "hello", "nightly"),
        ("ReconcileSuspendedForLong", "blog", "reconcile"),
    }


def test_prometheus_understands_every_expression(prometheus: Server) -> None:
    for expression in expressions().values():
        prometheus.query(expression)


def test_the_panels_about_reconcile_show_something(prometheus: Server) -> None:
    """But for those about certificates, and about a change over time that this Prometheus has not seen yet."""
    wait_until(lambda: len(prometheus.ask("query", query="reconcile_up[1m]")["result"][0]["values"]) >= 5)
    shown = {name: bool(prometheus.query(expression)) for name, expression in expressions().items() if name[-2] == " "}

    assert [name for name, some in shown.items() if not some] == ["Certificates A"]


def test_every_metric_that_is_named_exists(traefik_says: str) -> None:
    known = set(re.findall(r"^([a-z_]+)(?:\{| )", lived().render().decode(), re.MULTILINE))
    known |= set(re.findall(r"^([a-z_]+)(?:\{| )", traefik_says, re.MULTILINE))
    named = {name for expression in expressions().values() for name in NAMED.findall(expression)}
    families = set(lived().families)

    assert len(named) > 15
    assert sorted(named - known) == []
    assert sorted(families - {re.sub("_(bucket|count|sum)$", "", name) for name in named}) == []


@pytest.fixture(scope="module")
def traefik_says(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The metrics of the real Traefik with the settings that `metrics: true` makes, and with a certificate."""
    folder = tmp_path_factory.mktemp("traefik")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10", "-subj", "/CN=a.test"]
    key = ["-addext", "subjectAltName=DNS:a.test", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run([*words, *key], check=True, capture_output=True)
    (folder / "dynamic").mkdir()
    pair = f"{{certFile: {folder}/cert.pem, keyFile: {folder}/key.pem}}"
    (folder / "dynamic" / "tls.yml").write_text(f"tls: {{certificates: [{pair}]}}\n", encoding="utf-8")
    names = ("web", "websecure", "traefik", "metrics")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    settings = Traefik(version="3.7.15", source="t.tgz", metrics=True, metrics_port=ports["metrics"])
    environ = static_settings(settings) | {"TRAEFIK_PROVIDERS_FILE_DIRECTORY": f"{folder}/dynamic"}
    environ |= {f"TRAEFIK_ENTRYPOINTS_{name.upper()}_ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()}
    with killed_at_the_end(subprocess.Popen([traefik_binary()], env=environ, stdout=subprocess.DEVNULL)):
        said = [""]

        def has_certificate() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['metrics']}/metrics", timeout=5) as answer:
                said[0] = answer.read().decode()
            return "traefik_tls_certs_not_after{" in said[0]

        wait_until(has_certificate)
        return said[0]


def test_the_dashboard_has_the_form_of_one() -> None:
    """Grafana itself is in none of the places that tests install from, so its structure is checked here."""
    panels = DASHBOARD["panels"]
    assert DASHBOARD["schemaVersion"] >= 36
    assert len({panel["id"] for panel in panels}) == len(panels) >= 12
    assert {panel["type"] for panel in panels} <= {"stat", "table", "timeseries"}
    for panel in panels:
        assert panel["title"] and panel["targets"]
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z_]+)", json.dumps(panels))) - {"__rate_interval"}
    assert used == variables == {"datasource", "app", "host"}
    assert DASHBOARD["annotations"]["list"][0]["target"]["tags"] == ["reconcile"]
