"""The remote scripts: constant POSIX sh, put together from package files. Pure.

An action's script is prelude + look + its `change` + the frame that runs it and looks again, so that one round trip
changes the host and brings back what it looks like now. In front stands what differs between the scopes: `system` or
`user`, which redefines `systemctl` and `journalctl` and finds the folders below the login's home.
"""

from __future__ import annotations

from functools import cache

from reconciler.model.machine import Scope
from reconciler.tools.rendering import package_text

OTHERWISE_FOR_A_USER = ("exec", "logs")
_SHARED = {"install": ("release",), "fetch": ("release",)}  # what an action's script has in common with another


@cache
def change_script(name: str, scope: Scope) -> str:
    """The script of one action, such as "start"; its reply is read by `look.read_reply`."""
    return _joined(scope, "prelude", "look", *_SHARED.get(name, ()), name, "change")


@cache
def look_script(scope: Scope) -> str:
    """Only look."""
    first = ("user", "lingers") if scope == "user" else ()
    return _joined(*first, "prelude", "look") + 'ONLY=$1 TREES=yes\nshift\nlook "$@"\n'


@cache
def finish_script(scope: Scope) -> str:
    """The end of a pass."""
    return _joined(scope, "prelude", "finish")


@cache
def plain_script(name: str, scope: Scope) -> str:
    """A script that stands alone, such as "logs"."""
    if scope == "system":
        return _joined(name)
    return _joined("user", f"{name}_user" if name in OTHERWISE_FOR_A_USER else name)


def _joined(*names: str) -> str:
    texts = (package_text(f"scripts/{name}.sh") for name in names)
    return "".join(line for text in texts for line in text.splitlines(keepends=True) if not line.startswith("#"))
