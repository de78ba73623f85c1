"""What the answers of web frameworks to a health check mean, and what to do about each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

NOT_HTTP_HINT = "for a program that does not speak HTTP, write health: {tcp: true}"


def explain_answer(status: int, location: str, path: str, headers: Mapping[str, str]) -> str:
    """Say why an app may answer so, and what to do; "" if there is nothing to say.

    `headers` are those of the request, by their names in lower case. None of them means that the app has no route.
    """
    if 300 <= status < 400:
        return _explain_redirect(location, path, headers)
    host = headers.get("host", "127.0.0.1 with its port")
    if status in (400, 421):
        return f"it was asked as {host}: an app that takes only names it knows must know this one (Django: " + (
            "ALLOWED_HOSTS), or health.host names one that it knows"
        )
    if status == 401:
        return "it asks for a login: let the app answer this path without one, or write health.headers"
    if status == 403:
        return f"it refuses the check, which asks as {host} without a login: an app that takes only names it knows " + (
            "must know this one (Rails: config.hosts), or health.host names one that it knows"
        )
    if status == 404:
        return "it does not know this path: health.path names one that answers 2xx"
    if status == 500:
        return "it failed itself; if its log does not say why, have it log its errors (Django without DEBUG: LOGGING)"
    return ""


def _explain_redirect(location: str, path: str, headers: Mapping[str, str]) -> str:
    try:
        goal = urlsplit(location)
        scheme, host, goal_path = goal.scheme, goal.hostname or "", goal.path or "/"
    except ValueError:
        scheme, host, goal_path = "", "", ""
    asked = headers.get("host", "").partition(":")[0]
    if goal_path.rstrip("/") != path.partition("?")[0].rstrip("/"):
        return "redirects are not followed: health.path names a path that answers 2xx itself, without a login"
    if scheme == "https" and headers.get("x-forwarded-proto") == "https":
        return (
            "it was asked with X-Forwarded-Proto: https, as visitors come, and does not heed it: have the app trust it "
            "(Django: SECURE_PROXY_SSL_HEADER, Express: trust proxy), else visitors are redirected for ever"
        )
    if scheme == "https":
        return "it wants https: health.headers can say X-Forwarded-Proto: https, as a TLS terminator in front does"
    if host and host != asked:
        return f"it wants to be called {host}: health.host can name it"
    return "redirects are not followed: health.path names a path that answers 2xx itself"
