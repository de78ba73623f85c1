"""Bars as SVG, readable on light and on dark pages: the colours follow the reader's setting."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, NAME, ROW, BAR, GAP, TOP = 720, 150, 24, 15, 14, 46
# Chosen apart in lightness as well, for readers who do not see all colours.
COLOURS = {
    "reconcile": ("#0b6bcb", "#5aa9ff"), "pyinfra": ("#b8860b", "#e3b341"), "Ansible": ("#c2410c", "#ff8a5c"),
    "bare asyncssh": ("#8a919c", "#6e7681"), "deploy script": ("#8a919c", "#6e7681"),
}  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """One bar: who, how long, and the text behind it."""

    name: str
    value: float
    text: str


@dataclass(frozen=True)
class Group:
    """Bars under one heading."""

    heading: str
    bars: tuple[Bar, ...]


def bars(title: str, groups: Sequence[Group], what: str, name_width: int = NAME) -> str:
    """Return the chart. All groups have one scale; `what` describes the picture to those who do not see it."""
    most = max((bar.value for group in groups for bar in group.bars), default=1.0) or 1.0
    parts, y = [], TOP
    for group in groups:
        if group.heading:
            parts.append(f'<text class="heading" x="16" y="{y + 12}">{html.escape(group.heading)}</text>')
            y += ROW
        for bar in group.bars:
            length = max(2.0, (WIDTH - name_width - 130) * bar.value / most)
            colour = list(COLOURS).index(bar.name) if bar.name in COLOURS else 0
            edge = name_width - 10
            parts += [
                f'<text class="name" x="{edge}" y="{y + 12}" text-anchor="end">{html.escape(bar.name)}</text>',
                f'<rect class="bar{colour}" x="{name_width}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
                f'<text class="value" x="{name_width + length + 8:.1f}" y="{y + 12}">{html.escape(bar.text)}</text>',
            ]
            y += ROW
        y += GAP
    light = "".join(f".bar{number}{{fill:{pair[0]}}}" for number, pair in enumerate(COLOURS.values()))
    dark = "".join(f".bar{number}{{fill:{pair[1]}}}" for number, pair in enumerate(COLOURS.values()))
    style = (
        "text{font-family:system-ui,sans-serif;font-size:13px;fill:#1f2328}.title{font-size:15px;font-weight:600}"
        f".heading{{font-weight:600}}.value{{font-variant-numeric:tabular-nums}}{light}"
        f"@media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}{dark}}}"
    )
    label = html.escape(what, quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
        f'aria-label="{label}">\n<style>{style}</style>\n'
        f'<text class="title" x="16" y="26">{html.escape(title)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )
