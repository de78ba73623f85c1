"""What somebody changed in a file on a host is in the log before it is put back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from reconciler.decide.converged_app import converged_app
from reconciler.desired_state.load import load
from reconciler.engine.drift import MOST_LINES, edited_lines
from reconciler.errors import HostUnreachable
from reconciler.host.local import LocalHost
from reconciler.host.transport import Completed
from reconciler.logs import readable_line
from reconciler.model.action import RepairFiles
from reconciler.targets.target_files import TargetFiles
from reconciler.targets.without_hosts import work_out_offline
from tests.support.repository import Repository, app

Events = list[tuple[str, dict[str, Any]]]


def on_disk(folder: Path) -> TargetFiles:
    """An app on this machine, whose unit and route are below the folder, as they should be."""
    paths = {name: str(folder / name) for name in ("releases", "env", "units", "state", "traefik")}
    fleet = {"hosts": {"web1": {"address": "203.0.113.7", "paths": paths}}}
    shop = app("shop", hosts=["web1"], route={"domains": ["example.com"]})
    Repository(folder).write(shop, fleet=fleet)
    files = work_out_offline(load(folder / "desired-state", working_tree=True), {}).files["shop", "web1"]
    for name, text in (("units/shop@.service", files.unit_text()), ("traefik/shop.yml", files.route_text("4000"))):
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    return files


def told(files: TargetFiles, host: Any = None) -> list[str]:
    identity = files.target.identity(files.target.release or "")
    action = RepairFiles("web1", "shop", "the unit file was changed on the host", "4000", identity, drift="unit")
    seen = converged_app(files.target, "us")
    return asyncio.run(edited_lines(host or LocalHost("web1", needs_root=False), files, seen, action))


def test_the_edit_is_told_line_by_line(tmp_path: Path) -> None:
    files = on_disk(tmp_path)
    unit = tmp_path / "units/shop@.service"
    unit.write_text(unit.read_text().replace("MemoryMax=40%", "MemoryMax=\x1b[31m90%\nEnvironment=TOKEN=hunter2"))

    lines = told(files)

    assert [line for line in lines if line[0] in "+-"][2:] == [
        "-MemoryMax=90%",
        "-Environment=TOKEN=…",
        "+MemoryMax=40%",
    ]
    columns = {"host": "web1", "app": "shop", "subject": "unit", "reason": "changed", "seconds": 0.1, "diff": lines}
    shown = readable_line({"timestamp": "12:00:00", "event": "repair.finished", **columns})
    assert "changed\n  --- shop@.service\n" in shown
    assert "\x1b" not in shown


def test_a_whole_new_file_is_cut(tmp_path: Path) -> None:
    files = on_disk(tmp_path)
    (tmp_path / "units/shop@.service").write_text("".join(f"Line={number}\n" for number in range(1000)))

    lines = told(files)

    assert len(lines) == MOST_LINES + 1
    assert lines[-1].endswith("more lines")


def test_nothing_is_told_where_nothing_differs_or_nothing_can_be_read(tmp_path: Path) -> None:
    class Lost(LocalHost):
        async def run(self, *_: Any, **__: Any) -> Completed:
            raise HostUnreachable("web1", "no answer")

    files = on_disk(tmp_path)

    assert told(files) == []
    assert told(files, Lost("web1", needs_root=False)) == []
