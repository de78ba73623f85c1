"""The form of each file that `reconcile-host` writes for another program: a unit, a route, a certificate file. Pure.

A form is a regular expression made from the template of the file. `tools/forms.py` says how.
"""

from __future__ import annotations

from reconciler.tools.certificates import PEM_LINE
from reconciler.tools.elixir import EPMD_UNIT, NODE_PORTS
from reconciler.tools.forms import decide_blocks, escape, form_of
from reconciler.tools.jobs import TIMER, job_template, starter_template, trial_env
from reconciler.tools.rendering import package_text
from reconciler.tools.traefik import HTPASSWD_LINE

_DIGEST = "[0-9a-f]{12}"
_HOLD = r"127\.90\.[0-9]{1,3}\.[0-9]{1,3}:1"  # where visitors wait, see tools/holding.py
_PORT = "[1-9][0-9]{3,4}"
_JSON_TEXT = r'"([^"\]|\\["\])*"'
_UNIT_WORDS = {
    "app": "@APP@",
    "user": "@USER@",
    "digest": _DIGEST,
    "node": "[a-z0-9_]+_%i(@[0-9A-Za-z.-]+)?",
    "node_flags": r"-start_epmd false -kernel inet_dist_use_interface \{[0-9,]+\}"
    r"( inet_dist_listen_m(in|ax) [0-9]{4,5}){2}",
    "epmd_port": _PORT,
    "epmd_unit": escape(EPMD_UNIT),
    "distribution": "(none|sname|name)",
    "stop_seconds": "[1-9][0-9]{0,3}",
    "memory_max": "([1-9][0-9]{0,14}[KMGT]?|[1-9][0-9]?%|100%)",
    "cpu_max": "[1-9][0-9]{0,5}%",
    "port": f"([1-9][0-9]{{0,4}}|{NODE_PORTS[0]}-{NODE_PORTS[1]})",
    'sandbox.capabilities | join(" ")': "(CAP_[A-Z_0-9]+( CAP_[A-Z_0-9]+)*)?",
    'sandbox.extra_writable_paths | join(" ")': "/[A-Za-z0-9_.+@/-]+( /[A-Za-z0-9_.+@/-]+)*",
    'after | join(" ")': r"[A-Za-z0-9_.:@-]+( [A-Za-z0-9_.:@-]+)*",
    'writable_beside | join(" ")': "/[A-Za-z0-9_.+@/-]+( /[A-Za-z0-9_.+@/-]+)*",
}
_JOB_WORDS = {
    "app": "@APP@",
    "job": "@JOB@",
    "scope": "--system",
    "command": r'([] !#$&-[^-~]|\\("|\\|U[0-9a-f]{8})|%%)+',
    "at": "[A-Za-z0-9*~.,/:@_+-]+( +[A-Za-z0-9*~.,/:@_+-]+)*",
    "within_seconds": "[1-9][0-9]{1,5}",
    "give_up_seconds": "[1-9][0-9]{1,3}",
}
_TEXTS = rf"\[{_JSON_TEXT}(, {_JSON_TEXT})*\]"
_MAIN = rf'\{{"main": {_JSON_TEXT}\}}'
_PAIRS = rf"\{{{_JSON_TEXT}: {_JSON_TEXT}(, {_JSON_TEXT}: {_JSON_TEXT})*\}}"
_OCTET = "[0-9]{1,3}"
# The networks of private addresses: an edge names other machines, and none but those of its own network.
_PRIVATE = rf"(10\.{_OCTET}|172\.(1[6-9]|2[0-9]|3[01])|192\.168|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])|169\.254)"
_EDGE_SERVER = rf'\{{"url": "http://{_PRIVATE}\.{_OCTET}\.{_OCTET}:{_PORT}"\}}'
_CHECK = (
    rf'\{{"path": {_JSON_TEXT}, "interval": "[0-9]{{1,4}}s", "timeout": "[0-9]{{1,4}}s", "followRedirects": false'
    rf'(, "hostname": {_JSON_TEXT})?(, "headers": {_PAIRS})?\}}'
)
_STICKY = rf'\{{"cookie": \{{"name": {_JSON_TEXT}, "httpOnly": true, "secure": (true|false), "sameSite": "lax"\}}\}}'
# The lines that a router, a middleware or a service may have. None can name a file of the host or another machine.
_ROUTE_LINES = (
    rf"rule: {_JSON_TEXT}",
    r'entryPoints: \["[A-Za-z0-9][A-Za-z0-9_-]*"\]',
    rf"middlewares: {_TEXTS}",
    'service: "@APP@"',
    "priority: -?[0-9]{1,6}",
    r'tls: \{("passthrough": true)?\}',
    rf'tls: \{{"certResolver": {_JSON_TEXT}(, "domains": \[{_MAIN}(, {_MAIN})*\])?\}}',
    rf'ipAllowList: \{{"sourceRange": {_TEXTS}(, "ipStrategy": \{{"excludedIPs": {_TEXTS}\}})?\}}',
    rf'basicAuth: \{{"realm": {_JSON_TEXT}, "usersFile": "@HTPASSWD@"(, "removeHeader": true)?\}}',
    rf'headers: \{{"custom(Request|Response)Headers": {_PAIRS}(, "customResponseHeaders": {_PAIRS})?\}}',
    rf'compress: \{{"encodings": {_TEXTS}\}}',
    rf'stripPrefix: \{{"prefixes": {_TEXTS}\}}',
    r'retry: \{"attempts": [0-9]{1,3}, "initialInterval": "[0-9]{1,5}ms"\}',
    rf'redirectRegex: \{{"regex": {_JSON_TEXT}, "replacement": {_JSON_TEXT}, "permanent": true\}}',
    rf'loadBalancer: \{{"servers": \[\{{"(url": "(http|h2c)://|address": ")(127\.0\.0\.1:{_PORT}|{_HOLD})"\}}\]\}}',
    rf'loadBalancer: \{{"servers": \[{_EDGE_SERVER}(, {_EDGE_SERVER})*\]'
    rf'(, "healthCheck": {_CHECK}(, "sticky": {_STICKY})?)?\}}',
)
_ROUTE_WORDS = {
    "app": "@APP@",
    "slot": f"({_PORT}|edge)",
    # No count: grep builds a machine of a gigabyte for thousands of repetitions. The length of stdin is limited.
    "servers": "[A-Za-z0-9._:,-]+",
    "digest": _DIGEST,
    "attempt": "[0-9]{1,15}",
    "part": _DIGEST,
    "name": "[ -~]{1,300}",
    "kind": "(http|tcp)",
    "name | tojson": '"@APP@([.-][A-Za-z0-9_.-]+)?"',
    "certificates | tojson": r'\[\{"certFile": "@CERTIFICATE@", "keyFile": "@CERTIFICATE@"\}\]',
    "line": f"({'|'.join(_ROUTE_LINES)})",
}


def file_forms(folders: dict[str, str]) -> dict[str, str]:
    """Return the form (a regular expression) of each file that reconcile-host writes for another program."""
    return {
        "UNIT_FORM": _unit_form(folders, proxy=False),
        "PROXY_FORM": _unit_form(folders, proxy=True),
        **_job_forms(folders),
        "ROUTE_FORM": _route_form(folders["traefik"]),
        "EPMD_FORM": _epmd_form(folders["releases"]),
        "DEFAULT_FORM": escape(package_text("templates/traefik-default.yml")),
    }


def _epmd_form(releases: str) -> str:
    words = {"port": _PORT, "address": r"[0-9.]{7,15}", "program": escape(f"{releases}/reconcile-epmd/epmd")}
    return form_of(package_text("templates/reconcile-epmd.service.j2"), words)


def _unit_form(folders: dict[str, str], *, proxy: bool) -> str:
    words = _UNIT_WORDS | {f"layout.{key}": escape(path) for key, path in folders.items()}
    return form_of(decide_blocks(package_text("templates/app@.service.j2"), proxy=proxy), words)


def _job_forms(folders: dict[str, str]) -> dict[str, str]:
    words = _UNIT_WORDS | _JOB_WORDS | {f"layout.{key}": escape(path) for key, path in folders.items()}
    words["trial_env"] = escape(trial_env("system", folders))
    return {
        "JOB_FORM": form_of(job_template("system"), words),
        "STARTER_FORM": form_of(starter_template(), words),
        "TIMER_FORM": form_of(package_text(TIMER), words),
    }


def _route_form(folder: str) -> str:
    text = package_text("templates/route.yml.j2")
    form = form_of(text.replace("{{ key }}: {{ value | tojson }}", "{{ line }}"), _ROUTE_WORDS)
    form = form.replace("@HTPASSWD@", f"{escape(folder)}/@APP@\\.htpasswd")
    form = form.replace("@CERTIFICATE@", f"{escape(folder)}/@APP@\\.pem")
    return form + f"(({HTPASSWD_LINE.pattern}\n)+# end\n)?(({PEM_LINE}\n)+# end\n)?"
