"""notify/ against a real loopback server: signed, sent once, retried after failures, and without secrets."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from reconciler.errors import InvalidDesiredState, Problem
from reconciler.model.notify import Notify
from reconciler.notify import send
from reconciler.notify.channel import open_channel
from reconciler.notify.notifier import Notifier
from tests.support.receiver import (
    COMMIT,
    EVERYTHING,
    FAILED,
    GITHUB,
    NEXT_COMMIT,
    NOW,
    NTFY,
    SLACK,
    WEBHOOK,
    Server,
    Teller,
    bad,
    good,
    receiving,
    rolled_out,
)


@pytest.fixture
def server() -> Iterator[Server]:
    with receiving() as told:
        yield told


def test_a_webhook_is_json_with_a_signature_that_verifies(server: Server) -> None:
    Teller(server, WEBHOOK).told((bad(), good("shop")))

    assert server.asked == ["POST /T0/Hush-path-4"]
    body = server.raw[0]
    expected = hmac.new(b"Hush-signing-key-1", body, hashlib.sha256).hexdigest()
    assert server.headers[0]["x-reconcile-signature"] == f"sha256={expected}"
    assert server.headers[0]["x-reconcile-delivery"] == hashlib.sha256(body).hexdigest()[:32]
    assert server.headers[0]["content-type"] == "application/json"
    assert json.loads(body) == {
        "version": 1,
        "sent_at": int(NOW),
        "revision": COMMIT,
        "notices": [
            {
                "event": "failed",
                "app": "hello",
                "host": "web1",
                "version": None,
                "serving": "1",
                "problem": "quarantined",
                "text": FAILED,
                "next": "reconcile logs hello",
                "since": int(NOW),
                "reminder": False,
            }
        ],
    }


def test_slack_gets_text_that_can_neither_mention_nor_link(server: Server) -> None:
    Teller(server, SLACK | {"events": EVERYTHING}).told((good(),), (bad(), rolled_out("2", "web2")))

    escaped = FAILED.replace("<!channel>", "&lt;!channel&gt;")
    assert server.bodies == [
        {
            "text": f":red_circle: FAILED hello on web1: {escaped} (next: reconcile logs hello)\n"
            ":white_check_mark: hello on web2: runs 2 (start slot 4001, 2: version 1 → 2)\n"
            f"commit {COMMIT[:12]}"
        }
    ]


def test_ntfy_gets_plain_text_with_title_and_priority(server: Server) -> None:
    Teller(server, NTFY).told((good(),), (bad(),), (good(), bad(host="web2"), bad("shop")))

    names = ("title", "priority", "tags", "authorization")
    assert [[headers[name] for name in names] for headers in server.headers] == [
        ["hello on web1: failed", "high", "rotating_light", "Bearer ghp_Hush-token-2"],
        ["reconcile: 2 failed, 1 recovered", "high", "rotating_light", "Bearer ghp_Hush-token-2"],
    ]
    assert server.raw[1].decode().splitlines()[2] == "hello on web1: runs 1 as wanted again"


def test_a_message_that_would_be_too_long_is_cut(server: Server) -> None:
    everywhere = tuple(bad(f"app{number}", f"web{number}-{'x' * 200}", seconds=number) for number in range(50))
    Teller(server, NTFY, SLACK).told(everywhere)

    texts = [raw.decode() for raw in server.raw]
    assert "and 30 more; reconcile status shows all" in next(text for text in texts if text.startswith("{"))
    assert max(len(raw) for raw in server.raw if not raw.startswith(b"{")) <= 4000


def test_a_failure_over_a_thousand_passes_sends_one_message_and_one_recovery(server: Server) -> None:
    """Durations differ each time, a reminder is not due yet."""
    teller = Teller(server, WEBHOOK).told((good(),), *[(bad(seconds=number),) for number in range(1000)], (good(),))

    assert server.notices == [
        ("failed", "hello", "web1", FAILED),
        ("recovered", "hello", "web1", "runs 1 as wanted again"),
    ]
    assert teller.said == []


def test_a_restart_repeats_no_message(server: Server, tmp_path: Path) -> None:
    """Nor does a timer that starts `--once` each minute. What is kept holds no text and no secret."""
    file = tmp_path / "told.json"
    for outcome in (good(), bad(), bad(), bad(), good(), good()):
        Teller(server, WEBHOOK, remember=file).told((outcome,))

    assert [event for event, *_ in server.notices] == ["failed", "recovered"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert "Hush" not in file.read_text()
    assert [each.name for each in tmp_path.iterdir()] == ["told.json"]


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"told": [1]}}', "\x00" * 100, "[" * 100_000])
def test_an_unreadable_memory_repeats_a_message_at_most_once(server: Server, tmp_path: Path, content: str) -> None:
    file = tmp_path / "told.json"
    file.write_text(content)

    assert Teller(server, WEBHOOK, remember=file).told((bad(),), (bad(),)).said == []
    assert len(server.asked) == 1


def test_an_unwritable_memory_is_reported_once(server: Server, tmp_path: Path) -> None:
    teller = Teller(server, WEBHOOK, remember=tmp_path / "absent" / "told.json").told((bad(),), (good(),), (bad(),))

    assert len(teller.said) == 1
    assert "cannot be written (No such file or directory): a restart may repeat messages" in teller.said[0]
    assert len(server.asked) == 3


@pytest.mark.parametrize("trouble", [(503, "busy"), (0, "")])
def test_a_temporary_failure_is_retried_with_the_same_body(server: Server, trouble: tuple[int, str]) -> None:
    server.answers = [trouble, trouble]
    teller = Teller(server, WEBHOOK).told((bad(),))

    assert len(server.raw) == 3
    assert len({*server.raw}) == 1
    assert teller.slept == [1.0, 4.0]
    assert teller.said == []


def test_a_receiver_that_never_answers_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "ATTEMPT_SECONDS", 0.2)
    server.answers = [(-1, "")] * 3

    assert Teller(server, WEBHOOK).told((bad(),)).said == ["notify[0] (webhook): no answer within 0.2 s"]


def test_an_undelivered_message_is_sent_later_and_reported_once(server: Server) -> None:
    """At growing distances; what has passed by then is not told at all."""
    server.answers = [(500, "")] * 9
    teller = Teller(server, WEBHOOK).told(*[(bad(),)] * 12)

    assert teller.said == ["notify[0] (webhook): answered 500"]
    assert len(server.raw) == 10  # three attempts after 0, 1 and 3 minutes; the next, after 7, is taken
    assert [body["sent_at"] - int(NOW) for body in server.bodies][::3] == [0, 60, 180, 420]


def test_the_text_of_a_library_error_is_not_repeated(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(client: httpx2.AsyncClient, method: str, url: str, **_: object) -> None:
        raise httpx2.ConnectError(f"no route to {url}")

    monkeypatch.setattr(httpx2.AsyncClient, "stream", fails)

    assert Teller(server, WEBHOOK).told((bad(),)).said == ["notify[0] (webhook): no connection (ConnectError)"]


@pytest.mark.parametrize("status", [302, 307, 400, 401, 404, 429])
def test_a_refusal_is_not_repeated_and_a_redirect_not_followed(server: Server, status: int) -> None:
    server.answers = [(status, "Hush")]

    assert Teller(server, WEBHOOK).told((bad(),)).said == [f"notify[0] (webhook): answered {status}"]
    assert len(server.asked) == 1


def test_a_failing_channel_does_not_delay_the_others(server: Server) -> None:
    other = SLACK | {"url": {"secret": "absent"}}
    teller = Teller(server, other, WEBHOOK).told((bad(),), (bad(),))

    assert teller.said == ["the secret absent is not known"]
    assert [event for event, *_ in server.notices] == ["failed"]


@pytest.mark.parametrize(
    "address", ["http://example.com/Hush", "https://me:Hush@h/", "ftp://Hush", "https://[Hush", "Hush"]
)
def test_a_secret_that_is_not_an_address_is_refused_without_its_value(server: Server, address: str) -> None:
    teller = Teller(server, SLACK)
    teller.secrets["url"] = address

    (fault,) = teller.told((bad(),)).said
    assert "Hush" not in fault


def test_plain_http_to_the_loopback_needs_the_operators_permission(server: Server) -> None:
    teller = Teller(server, SLACK)
    strict = Notifier(teller.settings, teller.secret)

    faults = asyncio.run(strict.notify([bad()], NOW))
    assert faults == ["notify[0] (slack): the address is not an https:// address"]
    assert server.asked == []


def test_no_output_contains_a_secret(server: Server, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Texts, logs down to the library's, reprs, failures, files: the receiver's own address and header excepted."""
    caplog.set_level(logging.DEBUG)
    server.answers = [(200, "{}")] * 4 + [(401, "Hush")] * 4
    teller = Teller(server, WEBHOOK, SLACK, NTFY, GITHUB, remember=tmp_path / "told.json").told((bad(),), (good(),))
    channels = [
        open_channel(index, each, teller.secret, loopback_http=True) for index, each in enumerate(teller.settings)
    ]

    seen = [*teller.said, caplog.text, repr(channels), repr(teller.settings), (tmp_path / "told.json").read_text()]
    seen += [raw.decode() for raw in server.raw]
    assert len(teller.said) == 4
    assert len(server.raw) == 8
    assert [text for text in seen if "Hush" in text or "pass\\" in text] == []


def test_concurrent_passes_of_single_hosts_send_each_message_once(server: Server) -> None:
    teller = Teller(server, WEBHOOK)

    async def workers() -> None:
        for _ in range(3):
            await asyncio.gather(*(teller.passes(bad(host=f"web{number}")) for number in range(5)))

    asyncio.run(workers())

    assert sorted(host for _, _, host, _ in server.notices) == [f"web{number}" for number in range(5)]


def test_channels_changed_by_a_commit_are_used_from_then_on(server: Server) -> None:
    teller = Teller(server, SLACK).told((bad(),))
    teller.notifier.use([*teller.settings, Notify.model_validate(WEBHOOK)], teller.secret)

    teller.told((bad(),))

    assert [json.loads(raw).keys() & {"text", "notices"} for raw in server.raw] == [{"text"}, {"notices"}]


def test_without_channels_nothing_is_done(server: Server) -> None:
    assert Teller(server).told((bad(),)).said == []


def test_an_invalid_commit_sends_a_message(server: Server) -> None:
    teller = Teller(server, WEBHOOK, GITHUB)
    error = InvalidDesiredState((Problem("apps/hello.yaml", 3, 1, "verison", "is not a key", "did you mean version?"),))

    async def commits() -> None:
        for number, fault in enumerate((None, error, error, None, None)):
            revision = NEXT_COMMIT if fault else COMMIT
            teller.said += await teller.notifier.notify_of_desired_state(fault, NOW + 60 * number, revision=revision)

    asyncio.run(commits())

    webhooks = [body for body in server.bodies if "notices" in body]
    assert [(each["event"], each["app"], each["text"]) for body in webhooks for each in body["notices"]] == [
        ("failed", None, "apps/hello.yaml:3:1 verison: is not a key; did you mean version?"),
        ("recovered", None, "can be used again"),
    ]
    statuses = [body for body in server.bodies if "context" in body]
    assert [(each["context"], each["state"]) for each in statuses][:2] == [
        ("reconcile", "success"),
        ("reconcile", "failure"),
    ]
    assert teller.said == []
