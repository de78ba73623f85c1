"""What the route of an app takes from secrets: names and hashes of visitors, a certificate with its key. Pure."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.errors import SecretError, SecretUnusable
from reconciler.model.desired import App
from reconciler.tools.certificates import KeyPair, read_key_pair, uncovered
from reconciler.tools.traefik import read_htpasswd

ReadKeyPair = Callable[[App, Callable[[str], str]], KeyPair | None]


def hashes_of(users: tuple[str, ...]) -> set[str]:
    return {user.partition(":")[2] for user in users}


def users_of(app: App, secret: Callable[[str], str]) -> tuple[str, ...]:
    named = app.route.basic_auth if app.route else None
    if named is None:
        return ()
    try:
        return read_htpasswd(secret(named.secret))
    except SecretError as error:
        raise SecretError(f"route.basic_auth: {error}", error.next_step) from None
    except ValueError as error:
        raise SecretUnusable(
            f"the secret {named.secret} {error}; route.basic_auth needs htpasswd lines with bcrypt",
            "make each line with `htpasswd -nB NAME` and set the secret again",
        ) from None


def key_pair_of(app: App, secret: Callable[[str], str]) -> KeyPair | None:
    """The certificate of one's own that serves the route. Raises SecretError and whatever else `secret` raises."""
    route = app.route
    named = route.certificate if route else None
    if route is None or named is None:
        return None
    try:
        pair = read_key_pair(named.secret, secret(named.secret))
    except SecretError as error:
        raise SecretError(f"route.tls.certificate: {error}", error.next_step) from None
    except ValueError as error:
        raise SecretUnusable(
            f"route.tls.certificate: the secret {named.secret} {error}",
            "set it to the certificate, those of its issuers, and the key, one after the other: `cat fullchain.pem "
            f"privkey.pem | reconcile secrets set {named.secret}`",
        ) from None
    if missing := uncovered(pair, (*route.domains, *route.redirects)):
        raise SecretUnusable(
            f"route.tls.certificate: the certificate in the secret {named.secret} is not for {', '.join(missing)}, "
            f"only for {', '.join(pair.names)}",
            "get one for all domains of the route, or take out those that it is not for",
        )
    return pair


def keys_of(pair: KeyPair | None) -> set[str]:
    return {pair.key} if pair else set()
