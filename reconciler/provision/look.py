"""Surveys a host: everything about it that does not concern its apps, in one look."""

from __future__ import annotations

from reconciler.errors import HostRefused
from reconciler.host.transport import Command, Transport
from reconciler.model.machine import Layout
from reconciler.provision.survey import NotASurvey, Survey, read_survey
from reconciler.tools import scripts
from reconciler.tools.look import layout_words


async def survey(host: Transport, layout: Layout, *, as_root: bool = False) -> Survey:
    """Run doctor.sh on the host and return the survey.

    With `as_root`, the login needs full root rights and the host's own program is not used.
    Raises HostRefused if root rights are refused or the output is not a survey.
    """
    script = scripts.plain_script("doctor", "system")
    completed = await host.run(Command(script.text if as_root else script, layout_words(layout)), b"", 60)
    try:
        return read_survey(completed.output)
    except NotASurvey as error:
        reason = f"its survey cannot be read ({error}): {completed.last_words}"
        raise HostRefused(host.name, reason, "it needs sh and GNU coreutils") from error
