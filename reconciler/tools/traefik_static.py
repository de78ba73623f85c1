"""Traefik's static configuration as environment variables. Pure.

All of it, since Traefik reads its static configuration from one kind of source only. The watched folder and the address
of the API differ between hosts and slots, so the unit sets them. The values rest on measurements;
deploy/traefik/README.md explains those that matter to users.
"""

from __future__ import annotations

import re

from reconciler.model.env import EnvValue
from reconciler.model.etcd import PORT, Etcd, EtcdTls
from reconciler.model.traefik import METRICS, Acme, Traefik
from reconciler.tools.digests import digest
from reconciler.tools.traefik_keys import ROOT

START = "./traefik"
PING = "/ping"
GRACE_SECONDS = 30  # how long open requests may take when an instance stops
STOP_SECONDS = GRACE_SECONDS + 10
STATE = "/var/lib/traefik"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
_ALIASES_SINCE = (3, 7, 15)  # an older version does not start with a setting that it does not know


def static_settings(traefik: Traefik) -> dict[str, str]:
    """Return the variables of every instance, without those whose values are secrets."""
    http, https = traefik.http_entry_point, traefik.https_entry_point
    settings = {
        "global.checkNewVersion": "false",
        "global.sendAnonymousUsage": "false",
        "log.level": "INFO",
        "log.noColor": "true",
        # Insecure mode serves the API without a router, so that a broken file in the watched folder cannot remove it.
        # It is read-only.
        "api.insecure": "true",
        "api.dashboard": _word(traefik.dashboard),
        "ping.entryPoint": "traefik",
        # The default would let a change wait for up to 2 s after the previous one.
        "providers.providersThrottleDuration": "20ms",
        "providers.file.watch": "true",
        "serversTransport.forwardingTimeouts.dialTimeout": "2s",
        "serversTransport.forwardingTimeouts.idleConnTimeout": f"{traefik.idle_seconds}s",
        **_entry_point(http, traefik.http_port, traefik),
        **_entry_point(https, traefik.https_port, traefik),
        **{
            key: value
            for name, port in traefik.tcp_ports.items()
            for key, value in _listener(name, port, traefik).items()
        },
        f"entryPoints.{https}.asDefault": "true",
        f"entryPoints.{https}.http.tls": "true",
    }
    if traefik.redirects:
        redirection = f"entryPoints.{http}.http.redirections.entryPoint"
        settings |= {f"{redirection}.to": https, f"{redirection}.scheme": "https", f"{redirection}.permanent": "true"}
    if traefik.access_log:
        settings |= {"accessLog": "true", "accessLog.format": "json", "accessLog.bufferingSize": "100"}
    if traefik.metrics:
        settings |= {
            # Like any port of Traefik: two instances may listen side by side, and either answers.
            f"entryPoints.{METRICS}.address": f"127.0.0.1:{traefik.metrics_port}",
            f"entryPoints.{METRICS}.reusePort": "true",
            "metrics.prometheus.entryPoint": METRICS,
        }
    if _numbers(traefik.version or "") >= _ALIASES_SINCE:
        # An app must not mistake a visitor's X_Forwarded_For for Traefik's X-Forwarded-For.
        settings |= {f"entryPoints.{name}.http.aliasHeadersStrategy": "delete" for name in (http, https, "traefik")}
    if traefik.acme and traefik.resolver:
        settings |= {f"entryPoints.{https}.http.tls.certResolver": traefik.resolver}
        settings |= _resolver(traefik.resolver, traefik.acme, http)
    return {_variable(key): value for key, value in sorted(settings.items())}


def etcd_settings(etcd: Etcd) -> dict[str, EnvValue]:
    """Return the variables of a Traefik that reads routes from etcd, those whose values are secrets too.

    Traefik takes the text of a certificate in place of its path, so nothing else has to lie on the host.
    """
    tls = etcd.tls or EtcdTls()
    settings: dict[str, EnvValue | None] = {
        "endpoints": ",".join(_member(endpoint) for endpoint in etcd.endpoints),
        "rootKey": ROOT,
        "username": etcd.username,
        "password": etcd.password,
        "tls.insecureSkipVerify": "false" if etcd.has_tls else None,  # without any setting of TLS it asks without TLS
        "tls.ca": tls.ca,
        "tls.cert": tls.certificate,
        "tls.key": tls.key,
    }
    return {_variable(f"providers.etcd.{key}"): value for key, value in settings.items() if value}


def _member(endpoint: str) -> str:
    address = endpoint.partition("://")[2]
    return address if re.search(r":[0-9]+$", address) and not address.endswith("]") else f"{address}:{PORT}"


def _listener(name: str, port: int, traefik: Traefik) -> dict[str, str]:
    place = f"entryPoints.{name}"
    balancers = ",".join(traefik.proxy_protocol)
    return {
        **({f"{place}.proxyProtocol.trustedIPs": balancers} if balancers else {}),
        f"{place}.address": f":{port}",
        # Two instances may listen side by side, so the next one is up before this one stops.
        f"{place}.reusePort": "true",
        f"{place}.transport.lifeCycle.graceTimeOut": f"{GRACE_SECONDS}s",
    }


def _entry_point(name: str, port: int, traefik: Traefik) -> dict[str, str]:
    trusted = ",".join(traefik.trusted_proxies)
    limits = f"entryPoints.{name}.transport.respondingTimeouts"
    return {
        **_listener(name, port, traefik),
        # Not for TCP routes: Traefik lifts these limits once it has connected both sides. They would only change how
        # long a client may stay silent before TLS begins, and Traefik's default of 60 s is enough for that.
        f"{limits}.readTimeout": f"{traefik.timeouts.read_seconds}s",
        f"{limits}.writeTimeout": f"{traefik.timeouts.write_seconds}s",
        f"{limits}.idleTimeout": f"{traefik.timeouts.idle_seconds}s",
        **({f"entryPoints.{name}.forwardedHeaders.trustedIPs": trusted} if trusted else {}),
    }


def _resolver(name: str, acme: Acme, http_entry_point: str) -> dict[str, str]:
    place = f"certificatesResolvers.{name}.acme"
    settings = {f"{place}.email": acme.email, f"{place}.storage": storage(acme), f"{place}.keyType": "EC256"}
    if server := acme.ca_server or (STAGING if acme.staging else None):
        settings[f"{place}.caServer"] = server
    if acme.challenge == "dns":
        settings[f"{place}.dnsChallenge.provider"] = acme.provider or ""
    else:
        settings[f"{place}.httpChallenge.entryPoint"] = http_entry_point
    return settings


def storage(acme: Acme) -> str:
    """Return the path of the ACME storage: one file per authority, since an account is valid with one only."""
    if acme.ca_server:
        return f"{STATE}/acme-{digest(acme.ca_server)}.json"
    return f"{STATE}/{'acme-staging' if acme.staging else 'acme'}.json"


def _variable(key: str) -> str:
    return f"TRAEFIK_{key.replace('.', '_').upper()}"


def _word(flag: bool) -> str:
    return "true" if flag else "false"


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(number or 0) for number in found.groups()) if found else ()
