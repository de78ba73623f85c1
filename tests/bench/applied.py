"""Watches Traefik's API for new route markers of an app; run in the network namespace of the host.

    nsenter --net=/run/netns/… python applied.py APP

Prints "MARKER NANOSECONDS" (of the wall clock, which the host shares) when an answer shows a marker for the first time.
"""

from __future__ import annotations

import http.client
import re
import sys
import time

PAUSE_SECONDS = 0.003


def main() -> None:
    pattern = re.compile(rb'"(%s-route-[0-9a-z]+-[0-9a-f]+-[0-9]+)@file"' % re.escape(sys.argv[1].encode()))
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
    known: set[bytes] = set()
    while True:
        connection.request("GET", f"/api/http/services?search={sys.argv[1]}-route-&per_page=100")
        found = set(pattern.findall(connection.getresponse().read()))
        now = time.time_ns()
        for marker in found - known:
            print(marker.decode(), now, flush=True)
        known = found
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
