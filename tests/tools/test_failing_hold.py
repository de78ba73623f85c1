"""Every command of the scripts that let visitors wait, made to fail once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shell import APART
from tests.tools import test_failing_commands as others
from tests.tools.test_failing_commands import APP, CUTOVER, LIVE, SLOT, UNIT, Case, act, route

HOLD = act("hold", APP, SLOT, of=UNIT, stdin=route(SLOT))
NO_HOLD = {f"systemctl start reconcile-hold-{APP}.socket": "visitors then do not wait while the version is replaced"}
CASES = {
    "hold": Case(LIVE, HOLD),
    "unhold": Case((*LIVE, HOLD, CUTOVER), act("unhold", APP)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_visitors_wait_only_if_the_script_says_so(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "HARMLESS", others.HARMLESS | NO_HOLD)

    others.test_a_script_says_that_it_is_done_only_if_it_is(case, tmp_path)


def test_every_script_that_is_tested_apart_is_among_them() -> None:
    assert set(CASES) == set(APART)
