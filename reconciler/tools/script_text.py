"""The text of the remote scripts, put together from package files. Pure."""

from __future__ import annotations

from reconciler.tools.rendering import package_text

LOOK_ALONE = 'ONLY=$1 TREES=yes\nshift\nlook "$@"\n'


_RELEASE, _SANDBOX = {"install", "fetch"}, {"exec", "exec_user", "node", "migrate"}  # what these have in common


def own_text(name: str) -> str:
    """What is this script's alone, and what it shares with another."""
    return join_scripts(*["release"] * (name in _RELEASE), *["sandbox"] * (name in _SANDBOX), name)


def join_scripts(*names: str) -> str:
    """These files one after the other, without comments."""
    texts = (package_text(f"scripts/{name}.sh") for name in names)
    return "".join(line for text in texts for line in text.splitlines(keepends=True) if not line.startswith("#"))
