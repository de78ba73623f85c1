"""The remote scripts: constant POSIX sh, put together from package files. Pure.

An action's script is prelude + look + its `change` + the frame that runs it and looks again, so that one round trip
changes the host and brings back what it looks like now.
"""

from __future__ import annotations

from functools import cache

from reconciler.tools.rendering import package_text

_SHARED = {"install": ("release",), "fetch": ("release",)}  # what an action's script has in common with another


@cache
def change_script(name: str) -> str:
    """The script of one action, such as "start"; its reply is read by `look.read_reply`."""
    return _joined("prelude", "look", *_SHARED.get(name, ()), name, "change")


@cache
def look_script() -> str:
    """Only look."""
    return _joined("prelude", "look") + 'ONLY=$1 TREES=yes\nshift\nlook "$@"\n'


@cache
def finish_script() -> str:
    """The end of a pass."""
    return _joined("prelude", "finish")


@cache
def plain_script(name: str) -> str:
    """A script that stands alone, such as "logs"."""
    return _joined(name)


def _joined(*names: str) -> str:
    texts = (package_text(f"scripts/{name}.sh") for name in names)
    return "".join(line for text in texts for line in text.splitlines(keepends=True) if not line.startswith("#"))
