"""The remote scripts: constant POSIX sh, joined from package files. Pure.

An action's script is prelude + taken + look + its own `change` function + the frame that runs it and looks again, so
that one round trip changes the host and returns its new state. It begins with the part that depends on the scope:
`system`, or `user`, which redefines `systemctl` and `journalctl` and finds the folders below the login's home. The
first line of each file is its signature, see `host_program`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from reconciler.model.machine import Scope
from reconciler.tools.script_text import LOOK_ALONE, join_scripts, own_text

OTHERWISE_FOR_A_USER = ("exec", "logs")


@dataclass(frozen=True)
class Script:
    """A script, and the verb by which reconcile-host runs the same script, if it was made from the same set."""

    verb: str
    text: str

    @cached_property
    def scripts(self) -> str:
        """The digest of everything that reconcile-host is made from."""
        from reconciler.tools.host_program import verbs_digest

        return verbs_digest()


@cache
def change_script(name: str, scope: Scope) -> Script:
    """Return the script of one action, such as "start". `look.read_reply` reads its output."""
    return Script(name, join_scripts(scope, "prelude", "taken", "look") + own_text(name) + join_scripts("change"))


@cache
def look_script(scope: Scope) -> Script:
    """Return the script that only looks. `look.read_reply` reads its output."""
    first = ("user", "lingers") if scope == "user" else ()
    return Script("look", join_scripts(*first, "prelude", "taken", "look") + LOOK_ALONE)


@cache
def finish_script(scope: Scope) -> Script:
    """Return the script that ends a pass on a host."""
    return Script("finish", join_scripts(scope, "prelude", "finish"))


@cache
def plain_script(name: str, scope: Scope) -> Script:
    """Return a script that stands alone, such as "logs"."""
    if scope == "system":
        return Script(name, own_text(name))
    return Script(name, join_scripts("user") + own_text(f"{name}_user" if name in OTHERWISE_FOR_A_USER else name))
