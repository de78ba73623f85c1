"""The scripts that hosts are sent, by what they are for."""

from __future__ import annotations

from pathlib import Path

import reconciler
from reconciler.model.machine import Scope
from reconciler.tools.host_program import OF_A_USER, PARTS, read_signature

SCRIPTS = Path(reconciler.__file__).parent / "tools/scripts"
SCOPES: tuple[Scope, ...] = ("system", "user")


APART = ("hold", "unhold")  # their commands are made to fail in a file of their own, tests/tools/test_failing_hold.py


def script_names(shape: str, *, apart: bool = False) -> list[str]:
    """The scripts of this shape: `change` are the actions, `plain` stand alone. Those in APART only if asked."""
    paths = sorted(path for path in SCRIPTS.glob("*.sh") if path.stem not in (*PARTS, *OF_A_USER))
    paths = [path for path in paths if apart or path.stem not in APART]
    return [path.stem for path in paths if read_signature(path.read_text().partition("\n")[0]).shape == shape]
