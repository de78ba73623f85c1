"""Sends the news of each pass, once, to each place that subscribed to it.

Nothing here fails a pass: a failed delivery is returned as a message to log, and is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.clock import Sleep, sleep_seconds
from reconciler.errors import ReconcileError
from reconciler.model.notify import Notify
from reconciler.notify import formats, github, grafana, memory
from reconciler.notify.channel import Channel, identity, name_of, open_channel
from reconciler.notify.memory import PlaceMemory
from reconciler.notify.send import Sender, Undelivered, Unreached, sender
from reconciler.notify.states import State, state_of, state_of_desired_state, states_of_jobs
from reconciler.notify.transitions import (
    DESIRED_STATE,
    Key,
    LastReport,
    News,
    may_notify,
    times_within_a_day,
    transitions,
)
from reconciler.tools.masks import mask

if TYPE_CHECKING:
    from reconciler.model.outcome import Outcome


MOST_ROLLOUTS: Final = 50  # that wait for a Grafana that does not answer
PLACE_SECONDS: Final = 60.0  # the time limit for one place in one call


class Notifier:
    """Notifies the places in `settings`. `secret(name)` returns a value or raises a ReconcileError.

    `remember` is our own file in an existing folder: with it, neither a restart nor a timer that runs `--once` every
    minute repeats a notice. `loopback_http` allows addresses such as http://127.0.0.1, for tests.
    """

    def __init__(
        self,
        settings: Sequence[Notify],
        secret: Callable[[str], str],
        *,
        remember: Path | None = None,
        loopback_http: bool = False,
        sleep: Sleep = sleep_seconds,
    ) -> None:
        self._settings = tuple(settings)
        self._secret = secret
        self._file = remember
        self._loopback_http = loopback_http
        self._sleep = sleep
        self._places = memory.read(remember) if remember else {}
        self._written = memory.to_json(self._places)
        self._unwritable = False
        self._latest: dict[Key, State] = {}
        self._revision: str | None = None
        self._lock = asyncio.Lock()

    def use(self, settings: Sequence[Notify], secret: Callable[[str], str]) -> None:
        """Replace the places and their secrets by those of a new commit."""
        self._settings, self._secret = tuple(settings), secret

    async def notify(
        self,
        outcomes: Iterable[Outcome],
        now: float,
        *,
        revision: str | None = None,
        known: Collection[Key] | None = None,
        secrets: Collection[str] = (),
    ) -> list[str]:
        """Send the news in these outcomes. Return failures to log, each only once until it changes.

        Call it after every pass, with all outcomes or those of one host; after quiet passes, too, because reminders
        and further attempts are due then. `now`: epoch seconds. `known`: every (app, host) of the desired state.
        `secrets`: the secret values of every target, which no text may contain.
        """
        if not self._settings:
            return []
        async with self._lock:
            hidden = {*secrets, *self._own_secrets()}
            outcomes = tuple(outcomes)
            states = {(outcome.end.app, outcome.end.host): state_of(outcome, hidden) for outcome in outcomes}
            self._note_states(states, revision, known)
            self._note_rollouts(grafana.rollouts(outcomes, states, now, revision), now)
            jobs = {key: state for outcome in outcomes for key, state in states_of_jobs(outcome).items()}
            return await self._notify_all(states | jobs, now, known, hidden)

    async def notify_of_desired_state(
        self, error: ReconcileError | None, now: float, *, revision: str | None = None, secrets: Collection[str] = ()
    ) -> list[str]:
        """Do the same for the desired state as a whole. `error` is why it cannot be used, or None if it can."""
        if not self._settings:
            return []
        async with self._lock:
            hidden = {*secrets, *self._own_secrets()}
            state = state_of_desired_state(error, hidden)
            self._note_states({}, revision, None)
            return await self._notify_all({DESIRED_STATE: state}, now, None, hidden)

    async def _notify_all(
        self, states: dict[Key, State], now: float, known: Collection[Key] | None, hidden: Collection[str]
    ) -> list[str]:
        failures = await asyncio.gather(
            *(self._notify_place(index, settings, states, now, known) for index, settings in enumerate(self._settings))
        )
        return [mask(failure, hidden) for failure in (*failures, self._write()) if failure]

    def _own_secrets(self) -> set[str]:
        opened = (self._open(index, settings) for index, settings in enumerate(self._settings))
        return {secret for channel in opened if isinstance(channel, Channel) for secret in channel.secrets}

    def _note_states(self, states: dict[Key, State], revision: str | None, known: Collection[Key] | None) -> None:
        """Collect the states of all hosts at one commit, possibly from several passes, for the statuses on GitHub."""
        if revision != self._revision:
            self._latest, self._revision = {}, revision
        for key, state in states.items():
            before = self._latest.get(key)
            tried = state.rolled_out or (before is not None and before.rolled_out)
            self._latest[key] = State(
                state.version, state.problem, state.digest, serving=state.serving, rolled_out=tried
            )
        if known is not None:
            self._latest = {key: state for key, state in self._latest.items() if key in known or key in states}

    def _note_rollouts(self, ended: Sequence[grafana.Rollout], now: float) -> None:
        """Keep them for each Grafana, the newest if it does not answer for long. One app has only so many a day."""
        for settings in self._settings:
            if settings.kind != "grafana":
                continue
            place = self._places.setdefault(identity(settings), PlaceMemory())
            for rollout in ended:
                key = (rollout.app, "")
                last = place.reported.get(key)
                if may_notify(last, now):
                    place.rollouts.append(rollout)
                    place.reported[key] = LastReport(State(""), now, (*times_within_a_day(last, now), now))
            del place.rollouts[:-MOST_ROLLOUTS]

    async def _notify_place(
        self, index: int, settings: Notify, states: dict[Key, State], now: float, known: Collection[Key] | None
    ) -> str:
        """Notify one place. Return "" or the failure to log, unless it was the last one logged."""
        place = self._places.setdefault(identity(settings), PlaceMemory())
        if place.is_waiting(now):
            return ""
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                if settings.kind == "github":
                    await self._notify_github(index, settings, place, states, now, known)
                elif settings.kind == "grafana":
                    await self._notify_grafana(index, settings, place)
                else:
                    await self._notify_people(index, settings, place, states, now, known)
        except (ReconcileError, Undelivered, TimeoutError) as error:
            place.note_failure(now)
            text = str(error) or f"not finished within {PLACE_SECONDS:g} s"
            text = text if isinstance(error, ReconcileError) else f"{name_of(index, settings)}: {text}"
            logged, place.logged = place.logged, text
            return text if text != logged else ""
        return ""

    async def _notify_people(
        self,
        index: int,
        settings: Notify,
        place: PlaceMemory,
        states: dict[Key, State],
        now: float,
        known: Collection[Key] | None,
    ) -> None:
        news = transitions(place.reported, states, now, events=settings.events, known=known)
        if news.notices:
            channel = self._open_or_raise(index, settings)
            async with sender(sleep=self._sleep) as sending:
                await sending.send(_request(channel, news, self._revision, now))
            place.note_delivery()
        place.reported = dict(news.reported)

    async def _notify_github(
        self,
        index: int,
        settings: Notify,
        place: PlaceMemory,
        states: dict[Key, State],
        now: float,
        known: Collection[Key] | None,
    ) -> None:
        revision = self._revision
        if revision is None or not github.is_commit(revision):
            return
        if DESIRED_STATE in states:
            current = [github.desired_state_status(states[DESIRED_STATE], revision)]
        else:
            current = github.statuses(self._latest, revision, known or ())
        news = github.due_statuses(place.reported, current, now)
        if not news:
            return
        channel = self._open_or_raise(index, settings)
        failure: Undelivered | None = None
        async with sender(sleep=self._sleep) as sending:
            for status in news:
                key = (status.app, status.revision)
                try:
                    await _post(sending, channel, status)
                except Unreached:
                    raise
                except Undelivered as error:  # GitHub refused this status, but may accept the next app's
                    failure = error
                else:
                    place.reported[key] = LastReport(
                        status.state, now, (*times_within_a_day(place.reported.get(key), now), now)
                    )
        if failure:
            raise failure
        place.note_delivery()
        place.reported = {key: last for key, last in place.reported.items() if key[1] == revision}

    async def _notify_grafana(self, index: int, settings: Notify, place: PlaceMemory) -> None:
        if not place.rollouts:
            return
        channel = self._open_or_raise(index, settings)
        failure: Undelivered | None = None
        async with sender(sleep=self._sleep) as sending:
            while place.rollouts:
                try:
                    await sending.send(grafana.annotation_request(channel, place.rollouts[0]))
                except Unreached:
                    raise
                except Undelivered as error:  # refused: it would be refused again
                    failure = error
                del place.rollouts[0]
        if failure:
            raise failure
        place.note_delivery()

    def _open(self, index: int, settings: Notify) -> Channel | ReconcileError:
        try:
            return open_channel(index, settings, self._secret, loopback_http=self._loopback_http)
        except ReconcileError as error:
            return error

    def _open_or_raise(self, index: int, settings: Notify) -> Channel:
        channel = self._open(index, settings)
        if isinstance(channel, ReconcileError):
            raise channel
        return channel

    def _write(self) -> str:
        """Save the last notices if they have changed. Return "" or the failure to log, once."""
        if self._file is None:
            return ""
        kept = {identity(settings) for settings in self._settings}
        text = memory.to_json({name: place for name, place in self._places.items() if name in kept})
        if text == self._written:
            return ""
        try:
            memory.write(self._file, text)
        except OSError as error:
            logged, self._unwritable = self._unwritable, True
            return "" if logged else f"{self._file} cannot be written ({error.strerror}): a restart may repeat messages"
        self._written, self._unwritable = text, False
        return ""


def _request(channel: Channel, news: News, revision: str | None, now: float) -> formats.Request:
    if channel.settings.kind == "webhook":
        return formats.webhook(channel.url, channel.key, news.notices, revision, now)
    if channel.settings.kind == "slack":
        return formats.slack(channel.url, news.notices, revision)
    return formats.ntfy(channel.url, channel.token, news.notices, revision)


async def _post(sending: Sender, channel: Channel, status: github.AppStatus) -> None:
    await sending.send(github.status_request(channel, status))
    if not channel.settings.deployments or not status.rolled_out:
        return
    number = github.deployment_number(await sending.send(github.deployments_request(channel, status)))
    if number is None:
        number = github.deployment_number(await sending.send(github.new_deployment_request(channel, status)))
    if number is not None:
        await sending.send(github.deployment_status_request(channel, status, number))
