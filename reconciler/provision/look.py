"""A host → what it is like apart from its apps: one look."""

from __future__ import annotations

from reconciler.errors import HostRefused
from reconciler.host.transport import Command, Transport
from reconciler.model.machine import Layout
from reconciler.provision.survey import NotASurvey, Survey, read_survey
from reconciler.tools import scripts
from reconciler.tools.look import layout_words


async def survey(host: Transport, layout: Layout, *, as_root: bool = False) -> Survey:
    """The survey; with `as_root` by somebody who may do everything, and not by the host's own program.

    Raises HostRefused when root's rights cannot be had."""
    script = scripts.plain_script("doctor", "system")
    completed = await host.run(Command(script.text if as_root else script, layout_words(layout)), b"", 60)
    try:
        return read_survey(completed.output)
    except NotASurvey as error:
        reason = f"it cannot be looked at ({error}): {completed.last_words}"
        raise HostRefused(host.name, reason, "it needs sh and GNU coreutils") from error
