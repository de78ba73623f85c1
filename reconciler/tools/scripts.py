"""The remote scripts: constant POSIX sh, put together from package files. Pure.

An action's script is prelude + taken + look + its `change` + the frame that runs it and looks again, so that one
round trip changes the host and brings back what it looks like now. In front stands what differs between the scopes:
`system` or `user`, which redefines `systemctl` and `journalctl` and finds the folders below the login's home. The first
line of each file is its signature, see `verbs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from reconciler.model.machine import Scope
from reconciler.tools.script_text import LOOK_ALONE, join_scripts, own_text

OTHERWISE_FOR_A_USER = ("exec", "logs")


@dataclass(frozen=True)
class Script:
    """A script, and by which verb the host's own reconcile-host runs the same, if it is of the same scripts."""

    verb: str
    text: str

    @cached_property
    def scripts(self) -> str:
        """The digest of all that reconcile-host is made from."""
        from reconciler.tools.host_program import verbs_digest

        return verbs_digest()


@cache
def change_script(name: str, scope: Scope) -> Script:
    """The script of one action, such as "start"; its reply is read by `look.read_reply`."""
    return Script(name, join_scripts(scope, "prelude", "taken", "look") + own_text(name) + join_scripts("change"))


@cache
def look_script(scope: Scope) -> Script:
    """Only look."""
    first = ("user", "lingers") if scope == "user" else ()
    return Script("look", join_scripts(*first, "prelude", "taken", "look") + LOOK_ALONE)


@cache
def finish_script(scope: Scope) -> Script:
    """The end of a pass."""
    return Script("finish", join_scripts(scope, "prelude", "finish"))


@cache
def plain_script(name: str, scope: Scope) -> Script:
    """A script that stands alone, such as "logs"."""
    if scope == "system":
        return Script(name, own_text(name))
    return Script(name, join_scripts("user") + own_text(f"{name}_user" if name in OTHERWISE_FOR_A_USER else name))
