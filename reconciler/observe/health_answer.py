"""What an instance answered to a health check, in words that are safe to print. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.host.http import Answer
from reconciler.words import printable

EXCERPT = 100  # characters
_LONGEST_READ = 4096
_BESIDE_THE_TEXT = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class HealthAnswer:
    """An answer to a health check. Its texts are printable and bounded."""

    healthy: bool
    text: str  # the status, or a sentence why there was no answer
    status: int = 0  # 0: there was no answer
    location: str = ""  # where a redirect leads to
    excerpt: str = ""  # how the page begins, without its markup

    @property
    def words(self) -> str:
        """The answer as a phrase: `301 to https://example.com/`, `400 ("Bad Request")`."""
        to = f" to {self.location}" if self.location else ""
        said = f' ("{self.excerpt}")' if self.excerpt and not to and not self.healthy else ""
        return f"{self.text}{to}{said}"


NOT_ASKED = HealthAnswer(healthy=False, text="")


def read_health(answer: Answer, mask: Callable[[str], str] = str) -> HealthAnswer:
    """Return the answer in words. Any 2xx is healthy; a redirect is not, and is not followed.

    `mask` hides secrets, which an error page may repeat.
    """
    healthy = 200 <= answer.status < 300
    location = mask(answer.location.decode(errors="replace")) if 300 <= answer.status < 400 else ""
    page = "" if healthy else mask(answer.body[:_LONGEST_READ].decode(errors="replace"))
    excerpt = printable(_BESIDE_THE_TEXT.sub(" ", page).strip(), EXCERPT)
    return HealthAnswer(healthy, str(answer.status), answer.status, printable(location), excerpt)
