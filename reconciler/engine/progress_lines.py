"""One line for each app on a host that moves: what is done, how far it is, how fast. Pure: the time is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from reconciler.colours import Paint, plain, style_of_verb
from reconciler.layout import columns, cut_end, cut_middle, pad
from reconciler.model.transfer import Transfer

SPEED_SECONDS: Final = 5.0  # the speed is that of the last seconds
LONGEST_NAME: Final = 20
LONGEST_VERB: Final = 8
LONGEST_BAR: Final = 30
SHORTEST_BAR: Final = 5


@dataclass
class Speed:
    """How fast a transfer has been lately."""

    points: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, done_bytes: int) -> None:
        """Add a point. A transfer that begins again, with fewer bytes than before, has no speed yet."""
        if self.points and done_bytes < self.points[-1][1]:
            self.points.clear()
        self.points.append((now, done_bytes))
        while self.points[-1][0] - self.points[0][0] > SPEED_SECONDS and len(self.points) > 2:
            self.points.popleft()

    @property
    def bytes_per_second(self) -> float | None:
        if len(self.points) < 2:
            return None
        (first, begun), (last, done) = self.points[0], self.points[-1]
        return (done - begun) / (last - first) if last - first >= 0.5 else None


@dataclass
class Work:
    """What is under way for one app on one host. Without a verb it only waits."""

    host: str
    app: str
    began_seconds: float
    verb: str = ""
    subject: str = ""
    note: str = ""
    noted_seconds: float = 0.0
    transfer: Transfer | None = None
    speed: Speed = field(default_factory=Speed)

    def report(self, news: str | Transfer, now: float) -> None:
        """Take what the action says about itself."""
        self.noted_seconds = now
        if isinstance(news, str):
            self.note, self.transfer, self.speed = news, None, Speed()
            return
        if self.transfer is None or self.transfer.verb != news.verb:
            self.speed = Speed()
        self.transfer = news
        self.speed.note(now, news.done_bytes)

    @property
    def seconds_left(self) -> float | None:
        speed, transfer = self.speed.bytes_per_second, self.transfer
        if not speed or transfer is None or transfer.total_bytes is None:
            return None
        return max(0.0, transfer.total_bytes - transfer.done_bytes) / speed


def progress_lines(
    works: Sequence[Work], now: float, width: int, most: int, paint: Paint = plain, bar: str = "█░"
) -> list[str]:
    """A line for each, the oldest first, in at most `most` lines of fewer than `width` columns."""
    shown = works if len(works) <= most else works[: most - 1]
    longest = min(LONGEST_NAME, width // 4)
    names = [[cut_middle(name, longest) for name in (work.host, work.app)] for work in shown]
    widths = [max(map(columns, column), default=0) for column in zip(*names, strict=True)]
    lines = []
    for work, cells in zip(shown, names, strict=True):
        head = "".join(f"  {pad(cell, room)}" for cell, room in zip(cells, widths, strict=True) if room)
        lines.append(head + _rest_of_line(work, now, width - 1 - columns(head), paint, bar))
    more = [f"  and {len(works) - len(shown)} more"] if len(shown) < len(works) else []
    return [*lines, *more]


def _rest_of_line(work: Work, now: float, room: int, paint: Paint, bar: str) -> str:
    if room < 12:
        return ""
    verb = work.transfer.verb if work.transfer else work.verb
    head = pad(verb, LONGEST_VERB)
    if work.transfer:
        text = _transfer_text(work, room - 2 - columns(head), bar)
    else:
        cells = [f"{duration_text(now - work.began_seconds):>5}", work.subject, work.note]
        text = "".join(f"  {cell}" for cell in cells if cell)
    return f"  {paint(verb, style_of_verb(verb))}{head[len(verb) :]}{cut_end(text, room - 2 - columns(head))}"


def _transfer_text(work: Work, room: int, bar: str) -> str:
    """Bar, percent, bytes, rate and time left, as far as they are known and fit."""
    transfer, speed, left = work.transfer, work.speed.bytes_per_second, work.seconds_left
    assert transfer is not None
    cells = [transfer.text.rjust(15) if transfer.total_bytes else transfer.text]  # as long as 12.3 of 45.6 MB
    cells += [_speed_text(speed)] if speed is not None else []
    cells += [f"{duration_text(left)} left"] if left is not None else []
    if transfer.fraction is None:
        return "".join(f"  {cell}" for cell in cells)
    percent = f"{int(100 * transfer.fraction):3} %"
    space = room - sum(columns(cell) + 2 for cell in (percent, *cells)) - 2
    full = round(transfer.fraction * min(space, LONGEST_BAR))
    drawn = bar[0] * full + bar[1] * (min(space, LONGEST_BAR) - full)
    return "".join(f"  {cell}" for cell in ([drawn] if space >= SHORTEST_BAR else []) + [percent, *cells])


def _speed_text(bytes_per_second: float) -> str:
    return f"{bytes_per_second / 1e6:.1f} MB/s" if bytes_per_second >= 1e5 else f"{bytes_per_second / 1e3:.1f} kB/s"


def duration_text(seconds: float) -> str:
    """Such as 12 s, 1:05 or 1:00:05."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
