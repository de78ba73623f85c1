"""A server on a loopback port that speaks as much of GitHub's and GitLab's API as a comment on a review needs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-job"
ME = 7  # the id of the token's user at GitLab
MOST_CHARACTERS = {"github": 65_536, "gitlab": 1_000_000}
Note = dict[str, Any]


@dataclass
class Reviews:
    """The comments of one pull request or merge request, number 5 of you/fleet (id 42), oldest first."""

    kind: str
    address: str = ""
    notes: list[Note] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refusals: list[tuple[str, int]] = field(default_factory=list)  # (method, status) to answer next, in order

    def add(self, body: str, author: str | int) -> Note:
        who: Note = {"user": {"login": author}} if self.kind == "github" else {"author": {"id": author}}
        note = {"id": 1000 + len(self.notes), "body": body, **who}
        self.notes.append(note)
        return note

    @property
    def bodies(self) -> list[str]:
        return [note["body"] for note in self.notes]


class _Handler(BaseHTTPRequestHandler):
    reviews: Reviews

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        self.reviews.asked.append(f"{self.command} {self.path}")
        status, value = self._decide(content)
        text = json.dumps(value).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = _answer

    def _decide(self, content: bytes) -> tuple[int, Any]:
        reviews = self.reviews
        if reviews.refusals and reviews.refusals[0][0] == self.command:
            return reviews.refusals.pop(0)[1], {"message": "refused"}
        given = self.headers.get("Authorization" if reviews.kind == "github" else "PRIVATE-TOKEN")
        if given != (f"Bearer {TOKEN}" if reviews.kind == "github" else TOKEN):
            return 401, {"message": "Bad credentials"}
        return self._github(content) if reviews.kind == "github" else self._gitlab(content)

    def _github(self, content: bytes) -> tuple[int, Any]:
        if self.command == "PATCH":
            return self._change(r"/repos/you/fleet/issues/comments/(\d+)", content)
        return self._list_or_add("/repos/you/fleet/issues/5/comments", content, "github-actions[bot]")

    def _gitlab(self, content: bytes) -> tuple[int, Any]:
        if self.path == "/user":
            return 200, {"id": ME}
        notes = "/projects/42/merge_requests/5/notes"
        if self.command == "PUT":
            return self._change(rf"{notes}/(\d+)", content)
        return self._list_or_add(notes, content, ME)

    def _list_or_add(self, path: str, content: bytes, author: str | int) -> tuple[int, Any]:
        at = urlsplit(self.path)
        if at.path != path:
            return 404, {"message": "Not Found"}
        if self.command == "POST":
            body = json.loads(content)["body"]
            too_long = len(body) > MOST_CHARACTERS[self.reviews.kind]
            return (422, {"message": "too long"}) if too_long else (201, self.reviews.add(body, author))
        asked = {key: int(values[0]) for key, values in parse_qs(at.query).items()}
        size = min(asked.get("per_page", 30), 100)
        start = (asked.get("page", 1) - 1) * size
        return 200, self.reviews.notes[start : start + size]

    def _change(self, pattern: str, content: bytes) -> tuple[int, Any]:
        found = re.fullmatch(pattern, self.path)
        note = next((each for each in self.reviews.notes if found and each["id"] == int(found[1])), None)
        if note is None:
            return 404, {"message": "Not Found"}
        note["body"] = json.loads(content)["body"]
        return 200, note

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def review_server(kind: str) -> Iterator[Reviews]:
    """Serve the API of this kind, `github` or `gitlab`, until the block ends."""
    reviews = Reviews(kind)
    handler = type("Handler", (_Handler,), {"reviews": reviews})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    reviews.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield reviews
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
