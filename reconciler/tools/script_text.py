"""Joins the texts of the remote scripts from package files. Pure."""

from __future__ import annotations

from reconciler.tools.rendering import package_text

LOOK_ALONE = 'ONLY=$1 TREES=yes\nshift\nlook "$@"\n'
LOOKING = ("prelude", "taken", "rights", "running", "texts", "trees", "look")  # what a look is made of
CHANGING = ("inventory", "copies", "jobs", "slots", "routes", "holding", "epmd")  # what every action shares

_SHARED = {  # file → the scripts that share it
    "release": {"install", "fetch"},
    "held": {"install"},
    "delta": {"install"},
    "sandbox": {"exec", "exec_keep", "exec_tty", "exec_user", "candidate_keep", "candidate", "node", "migrate", "hook"},
    "once": {"migrate", "hook"},
    "copies": {"exec_user", "candidate"},
}


def own_text(name: str) -> str:
    """Return the text of a script, preceded by the files that it shares with similar scripts."""
    return join_scripts(*shared_names(name), name)


def shared_names(name: str) -> tuple[str, ...]:
    """Return the files that a script shares with similar scripts."""
    return tuple(shared for shared, scripts in _SHARED.items() if name in scripts)


def join_scripts(*names: str) -> str:
    """Return the texts of these scripts one after the other, with comments and indentation."""
    return "".join(package_text(f"scripts/{name}.sh") for name in names)


def strip_comments(text: str) -> str:
    """Return the same program without its comment lines."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))


def strip(text: str) -> str:
    """Return the same program without comment lines, indentation and empty lines. This is what hosts are sent.

    tests/tools/test_shell.py shows that it is the same: no string and no here-document depends on indentation.
    """
    lines = (line.lstrip() for line in text.splitlines(keepends=True))
    return "".join(line for line in lines if line and not line.startswith("#"))
