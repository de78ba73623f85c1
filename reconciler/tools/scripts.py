"""The remote scripts: constant POSIX sh, joined from package files. Pure.

An action's script is prelude + taken + look + what all actions share + its own `change` function + the frame that runs
it and looks again, so that one round trip changes the host and returns its new state. It begins with the part that
depends on the scope: `system`, or `user`, which redefines `systemctl` and `journalctl` and finds the folders below the
login's home. The first line of each file is its signature, see `host_program`. Hosts are sent the text without
comments and indentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from reconciler.model.machine import Scope
from reconciler.tools.script_text import CHANGING, LOOK_ALONE, LOOKING, join_scripts, own_text, shared_names, strip

OTHERWISE_FOR_A_USER = ("exec", "logs")


@dataclass(frozen=True)
class Script:
    """A script, and the verb by which reconcile-host runs the same script, if it was made from the same set.

    What it shares with others is the longest part of it. A host that remembers those texts is sent their digests.
    """

    verb: str
    first: str
    shared: tuple[str, ...]
    last: str

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.first + "".join(self.shared) + self.last

    @cached_property
    def scripts(self) -> str:
        """The digest of everything that reconcile-host is made from."""
        from reconciler.tools.host_program import verbs_digest

        return verbs_digest()


@cache
def _shared(*names: str) -> str:
    return strip(join_scripts(*names))


@cache
def change_script(name: str, scope: Scope) -> Script:
    """Return the script of one action, such as "start". `look.read_reply` reads its output."""
    last = strip(join_scripts(name, "change"))
    similar = (_shared(*names),) if (names := shared_names(name)) else ()
    return Script(name, strip(join_scripts(scope)), (_shared(*LOOKING), _shared(*CHANGING), *similar), last)


@cache
def look_script(scope: Scope) -> Script:
    """Return the script that only looks. `look.read_reply` reads its output."""
    first = strip(join_scripts("user", "lingers")) if scope == "user" else ""
    return Script("look", first, (_shared(*LOOKING),), LOOK_ALONE)


@cache
def finish_script(scope: Scope) -> Script:
    """Return the script that ends a pass on a host."""
    return Script("finish", strip(finish_text(scope)), (), "")


@cache
def plain_script(name: str, scope: Scope) -> Script:
    """Return a script that stands alone, such as "logs"."""
    return Script(name, strip(plain_text(name, scope)), (), "")


def change_text(name: str, scope: Scope) -> str:
    """Return the text of `change_script`, with comments and indentation."""
    return join_scripts(scope, *LOOKING, *CHANGING) + own_text(name) + join_scripts("change")


def look_text(scope: Scope) -> str:
    """Return the text of `look_script`, with comments and indentation."""
    first = ("user", "lingers") if scope == "user" else ()
    return join_scripts(*first, *LOOKING) + LOOK_ALONE


def finish_text(scope: Scope) -> str:
    """Return the text of `finish_script`, with comments and indentation."""
    return join_scripts(scope, "prelude", "finish")


def plain_text(name: str, scope: Scope) -> str:
    """Return the text of `plain_script`, with comments and indentation."""
    if scope == "system":
        return own_text(name)
    return join_scripts("user") + own_text(f"{name}_user" if name in OTHERWISE_FOR_A_USER else name)
