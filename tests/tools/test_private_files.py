"""The files beside a route that only Traefik may read: passwords, and a certificate with its key."""

from __future__ import annotations

from pathlib import Path

from tests.support.failing_host import FailingHost
from tests.tools.test_failing_commands import (
    APP,
    LIVE,
    SLOT,
    UNIT,
    Case,
    act,
)
from tests.tools.test_failing_commands import test_a_script_says_that_it_is_done_only_if_it_is as judge_each_call

BASIC = '      basicAuth: {"realm": "x", "usersFile": "y"}\n'
TLS = 'tls:\n  certificates: [{"certFile": "x", "keyFile": "x"}]\n'


def route(slot: str, *named: str) -> bytes:
    behind = [{BASIC: "me:hash\n# end\n", TLS: "PEM\n# end\n"}[each] for each in named]
    return f"# reconcile route slot={slot} x\n{''.join(named)}# end\n{''.join(behind)}".encode()


WITH_BOTH = act("cutover", APP, SLOT, of=UNIT, stdin=route(SLOT, BASIC, TLS))


def private(host: FailingHost) -> dict[str, tuple[str, int]]:
    return {
        path.suffix: (path.read_text(), path.stat().st_mode & 0o777)
        for path in host.path("traefik").iterdir()
        if path.suffix != ".yml"
    }


def test_each_file_has_its_own_part_and_leaves_with_the_route_that_named_it(tmp_path: Path) -> None:
    host = FailingHost(tmp_path)
    host.make()
    found = []
    for step in (
        *LIVE,
        WITH_BOTH,
        *(act("cutover", APP, SLOT, of=UNIT, stdin=route(SLOT, *named)) for named in ((TLS,), (BASIC,), ())),
    ):
        assert step(host).status == 0
        found.append(private(host))

    passwords, pem = ("me:hash\n# end\n", 0o640), ("PEM\n# end\n", 0o640)
    assert found[-4:] == [{".htpasswd": passwords, ".pem": pem}, {".pem": pem}, {".htpasswd": passwords}, {}]


def test_a_list_with_a_certificate_is_said_to_be_written_only_if_it_is(tmp_path: Path) -> None:
    case = Case(
        (act("balance", APP, stdin=route("edge")),),
        act("balance", APP, stdin=route("edge", TLS)),
    )
    judge_each_call(case, tmp_path)
