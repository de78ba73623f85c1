"""A process of an app is named with its app where something is done to all of it."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.apply.marks import mark
from reconciler.errors import UsageError
from reconciler.targets.processes import with_processes
from tests.decide.test_fleet import app
from tests.support.stepping import opened

SHOP = app("shop", ["a"], processes={"mailer": {"start": "bin/mail"}})


@pytest.mark.parametrize("verb", ["suspend", "resume", "retry", "adopt"])
def test_a_mark_on_a_process_alone_is_refused(verb: str) -> None:
    """It would mark nothing, and say that it had."""
    with pytest.raises(UsageError, match="shop--mailer is a process of shop") as refused:
        asyncio.run(mark(opened(*with_processes(SHOP)), "shop--mailer", verb, 0, "freeze"))

    assert refused.value.next_step == "name shop instead"
