"""Joins the texts of the remote scripts from package files. Pure."""

from __future__ import annotations

from reconciler.tools.rendering import package_text

LOOK_ALONE = 'ONLY=$1 TREES=yes\nshift\nlook "$@"\n'


_RELEASE, _SANDBOX = {"install", "fetch"}, {"exec", "exec_user", "node", "migrate"}  # they share release.sh, sandbox.sh


def own_text(name: str) -> str:
    """Return the text of a script, preceded by the file that it shares with similar scripts."""
    return join_scripts(*["release"] * (name in _RELEASE), *["sandbox"] * (name in _SANDBOX), name)


def join_scripts(*names: str) -> str:
    """Return the texts of these scripts one after the other, without comment lines."""
    texts = (package_text(f"scripts/{name}.sh") for name in names)
    return "".join(line for text in texts for line in text.splitlines(keepends=True) if not line.startswith("#"))
