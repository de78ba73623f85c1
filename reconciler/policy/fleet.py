"""Which host may go next: the first one proves a version, the others follow in batches."""

from __future__ import annotations

import math


def groups(hosts: list[str], batch: str) -> list[list[str]]:
    """The hosts in the order they may be changed: the prover alone, then batches of a number or a share of all.

    groups(["a", "b", "c", "d"], "50%") == [["a"], ["b", "c"], ["d"]]
    """
    if not hosts:
        return []
    share = math.ceil(len(hosts) * int(batch[:-1]) / 100) if batch.endswith("%") else int(batch)
    size = max(1, share)
    rest = hosts[1:]
    return [hosts[:1], *(rest[i : i + size] for i in range(0, len(rest), size))]
