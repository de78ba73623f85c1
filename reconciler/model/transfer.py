"""How far an upload or a download is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Transfer:
    """Bytes on their way, named by what is done with them."""

    verb: str  # upload, download, read
    done_bytes: int
    total_bytes: int | None = None
    held_bytes: int = 0  # are there already, and are not sent

    @property
    def fraction(self) -> float | None:
        """From 0 to 1; None if the total is not known."""
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else None

    @property
    def text(self) -> str:
        """Such as `1.2 of 5.6 MB`."""
        unit, name = (1e6, "MB") if max(self.done_bytes, self.total_bytes or 0, self.held_bytes) >= 1e6 else (1e3, "kB")
        total = f" of {self.total_bytes / unit:.1f}" if self.total_bytes else ""
        there = f", {self.held_bytes / unit:.1f} {name} are there already" if self.held_bytes else ""
        return f"{self.done_bytes / unit:.1f}{total} {name}{there}"


ReportProgress = Callable[[str | Transfer], None]
"""Takes what an action says about itself while it runs: a short text, or how far a transfer is."""
