"""Run a command and print what it took: `python -I -S cost.py OPEN_FILES COMMAND…`. What it prints comes on stderr.

Its own small process, since a child inherits the peak memory of the process that starts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

EVERY_SECONDS = 0.05


def main() -> int:
    limit, *words = sys.argv[1:]
    if int(limit):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), int(limit)))
    begin = time.monotonic()
    process = subprocess.Popen(words, stdout=2)
    most, ended = [0], threading.Event()

    def count() -> None:
        while not ended.wait(EVERY_SECONDS):
            with contextlib.suppress(OSError):
                most[0] = max(most[0], sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir()))

    counting = threading.Thread(target=count)
    counting.start()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    ended.set()
    counting.join()
    took = {
        "seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "megabytes": used.ru_maxrss / 1024,
        "files": most[0], "code": os.waitstatus_to_exitcode(status),
    }  # fmt: skip
    print(json.dumps(took), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
