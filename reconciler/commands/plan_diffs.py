"""What differs between the files of the apps on their hosts and what is desired, for `plan --diff`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

from reconciler.decide.plan import AppPlan
from reconciler.decide.serving import serving
from reconciler.engine.preview import Preview
from reconciler.errors import HostError
from reconciler.model.observed import ObservedHost
from reconciler.observe.files import read_files
from reconciler.targets.file_diffs import Diff, by_host, diff, texts_of_both
from reconciler.targets.open_fleet import OpenFleet

AT_ONCE = 16


async def diffs_on_hosts(opened: OpenFleet, shown: Preview, plans: Iterable[AppPlan]) -> list[Diff]:
    """Return the diff of each app that is to be changed where it runs already, from the host's files to ours."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def read(plan: AppPlan) -> tuple[str, str, list[str]]:
        async with limit:
            return plan.app, plan.host, await _diff(opened, shown, plan)

    return by_host(await asyncio.gather(*map(read, plans)))


async def _diff(opened: OpenFleet, shown: Preview, plan: AppPlan) -> list[str]:
    files, seen = opened.targets.get((plan.app, plan.host)), shown.hosts.get(plan.host)
    if files is None or not isinstance(seen, ObservedHost):
        return []
    app = seen.app(plan.app)
    slot = serving(files.target, app) or next((slot for slot in app.slots if slot.env_keys), None)
    if slot is None or not (plan.actions or files.target.only_report_drift):
        return []
    try:
        found = await read_files(opened.hosts[plan.host], opened.sites[plan.host], plan.app)
    except HostError as error:
        print(f"{error}\nnext: {error.next_step}", file=sys.stderr)
        return []
    return diff(*texts_of_both(files, slot, found.unit, found.route))
