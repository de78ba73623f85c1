"""`reconcile plan --from REF --to REF`: what a change means. Asks no host, needs no key, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

from reconciler.colours import paint_plan
from reconciler.decide.changes import changes
from reconciler.desired_state.two_states import TwoStates, read_two_states
from reconciler.engine.offline import left_alone, moved, plan_between, without_stand_ins
from reconciler.engine.offline_report import CommitLine, OfflinePlan, offline_json, offline_markdown, offline_text
from reconciler.errors import UsageError
from reconciler.model.action import Blocked
from reconciler.model.desired import Desired
from reconciler.model.options import Options
from reconciler.model.process_name import family_of
from reconciler.model.references import references
from reconciler.secrets.fingerprints import fingerprints
from reconciler.targets.file_diffs import Diff, by_host, diff, texts_of
from reconciler.targets.without_hosts import MOST_TARGETS, OfflineFleet, work_out_offline
from reconciler.terminal import paint_for


def run(options: Options) -> int:
    """Return 0 if nothing is to be done, 3 if something is, 1 if an app is blocked, 2 if the result is not valid."""
    _refuse_other_origins(options)
    plan = asyncio.run(_plan(options))
    if options.json:
        print(json.dumps(offline_json(plan), indent=2, ensure_ascii=False))
    elif options.markdown:
        print(offline_markdown(plan, options.longest), end="")
    else:
        print(paint_plan(offline_text(plan, diff=options.diff), paint_for(sys.stdout)), end="")
    return plan.exit_code


def _refuse_other_origins(options: Options) -> None:
    given = {"--repo": options.repo, "--ref": options.ref, "--allowed-signers": options.allowed_signers}
    for name, value in given.items():
        if value:
            next_step = "leave it out; --to names the commit that is planned"
            raise UsageError(f"{name} cannot be combined with --from and --to", next_step)
    if options.working_tree and options.to_ref:
        raise UsageError("--working-tree and --to contradict each other", "leave one of them out")


async def _plan(options: Options) -> OfflinePlan:
    states = await read_two_states(options.desired_state, options.from_ref, options.to_ref, options.environment)
    before, after = (_readable_part(desired, states) for desired in (states.before, states.after))
    if options.host:
        options = replace(options, host=tuple({*before.hosts_in(options.host), *after.hosts_in(options.host)}))
    told = _frame(states)
    sealed = [_sealed(desired) for desired in (before, after)]
    changed = tuple(each for each in changes(before, after, *sealed) if _is_chosen(options, each.app, None))
    for desired in (before, after):
        if (count := sum(len(app.hosts) for app in desired.apps)) > MOST_TARGETS:
            note = f"it has {count} apps on hosts, and at most {MOST_TARGETS} are planned: only the keys are compared"
            return replace(told, changes=changed, notes=(*told.notes, note))
    old = work_out_offline(before, sealed[0])
    new = work_out_offline(after, sealed[1], allow_prune=options.allow_prune, known=old)
    plans = plan_between(old, new) if after.apps or not states.after.invalid else {}
    acting = [plan for plan in plans.values() if plan.actions or isinstance(plan.end, Blocked)]
    return replace(
        told,
        plans=tuple(without_stand_ins(plan, new) for plan in acting if _is_chosen(options, plan.app, plan.host)),
        changes=changed,
        diffs=tuple(_diffs(old, new, options)) if options.diff else (),
        notes=(*told.notes, *_host_notes(old, new)),
    )


def _frame(states: TwoStates) -> OfflinePlan:
    """The plan without what is planned: which commits it is about, and what is wrong with them."""
    commits = states.commits
    notes = []
    if states.newer:
        count = f"{states.newer} commit{'s' * (states.newer > 1)}"
        notes.append(f"{states.from_ref} has {count} more than {states.to_ref}; they are not a part of this plan")
    skipped = ", ".join(sorted(states.unreadable))
    if skipped:
        notes.append(f"not compared, since a file is not valid: {skipped}")
    notes += [note for note in states.after.notes if note not in states.before.notes]
    assert states.before.revision
    return OfflinePlan(
        before=states.before.revision,
        after=states.after.revision,
        from_ref=states.from_ref,
        to_ref=states.to_ref,
        problems=states.after.invalid,
        problems_before=states.before.invalid,
        notes=tuple(notes),
        commits=tuple(CommitLine(each.id, each.subject) for each in commits.newest) if commits else (),
        commits_in_all=commits.total if commits else 0,
    )


def _readable_part(desired: Desired, states: TwoStates) -> Desired:
    """The desired state without the apps whose file is not valid on one side."""
    return replace(desired, apps=tuple(app for app in desired.apps if app.app not in states.unreadable))


def _sealed(desired: Desired) -> dict[str, str]:
    return fingerprints(desired.secret_files, (each.name for each in references(desired)))


def _diffs(old: OfflineFleet, new: OfflineFleet, options: Options) -> list[Diff]:
    """The files of each app that has some on both sides, and differs."""
    keys = [key for key in new.files if key in old.files and old.files[key] is not new.files[key]]
    texts = [
        (app, host, diff(texts_of(old.files[app, host], old.sealed), texts_of(new.files[app, host], new.sealed)))
        for app, host in keys
        if _is_chosen(options, app, host)
    ]
    return by_host(texts)


def _host_notes(old: OfflineFleet, new: OfflineFleet) -> list[str]:
    notes = [
        f"host {host} is in the desired state no more, so no pass looks there: {', '.join(apps)} will go on running; "
        "keep it in fleet.yaml until its apps are removed"
        for host, apps in left_alone(old, new).items()
        if apps
    ]
    return notes + [
        f"host {host} has another address: it is planned as a new machine, and nothing is removed from the former one"
        for host in moved(old, new)
    ]


def _is_chosen(options: Options, app: str, host: str | None) -> bool:
    families = {family_of(name) for name in options.app or ()}
    return (not families or family_of(app) in families) and (not options.host or host is None or host in options.host)
