"""Room for a release is counted in bytes and in files; and a host that fetches leaves out what a Mac added."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.failing_host import SHELL

SCRIPTS = Path(__file__).parents[2] / "reconciler/tools/scripts"
FAIL = 'NO_ROOM=28 RELEASES=/srv\nfail() { echo "$2"; exit "$1"; }\n'


def run(script: str, *words: str, stubs: str = "") -> subprocess.CompletedProcess[str]:
    """Source the script, which only defines functions, and call one of them."""
    text = f'{FAIL}. {SCRIPTS / script}.sh\n{stubs}\n"$@"'
    return subprocess.run([SHELL, "-c", text, "sh", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("kib", "inodes", "free", "said"),
    [
        (100, 1000, 500, "64 MiB are needed below /srv, 0 MiB are free"),
        (100_000, 1000, 500, "501 inodes are needed below /srv, one for each file, and 500 are free (df -i)"),
        (100_000, 1000, 502, ""),
        (100_000, 0, 0, ""),  # btrfs has none to count
        (100_000, "-", "-", ""),
    ],
)
def test_room_is_counted_in_bytes_and_in_files(kib: int, inodes: int | str, free: int | str, said: str) -> None:
    df = f"df() {{ echo ' Avail Inodes IFree'; echo '{kib} {inodes} {free}'; }}"

    done = run("release", "demand_room", "65536", "501", stubs=df)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (28 if said else 0, said, "")


def test_the_df_of_this_machine_is_understood(tmp_path: Path) -> None:
    done = run("release", "demand_room", "1", "1", stubs=f"RELEASES={tmp_path}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_a_mac_added_is_left_out_of_a_fetched_archive(tmp_path: Path) -> None:
    """All but what the manifest has."""
    names = ("bin/app", "bin/._app", "bin/._own", ".DS_Store", "__MACOSX/app/._x", "a b/._c d", "._.._")
    for name in names:
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    kept = "d 755 ./bin\t\nd 755 ./a b\t\nf 755 ./bin/app\t\nf 644 ./bin/._own\t\n"
    (tmp_path / "tree").write_text(kept)

    done = run("fetch", "leave_out_mac", stubs=f"incoming={tmp_path}")

    assert (done.returncode, done.stderr) == (0, "")
    left = sorted(path.relative_to(tmp_path / "files").as_posix() for path in (tmp_path / "files").rglob("*"))
    assert left == ["a b", "bin", "bin/._own", "bin/app"]
