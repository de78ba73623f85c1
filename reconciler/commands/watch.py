"""`reconcile` without a command: a pass at once, on every change, and on a timer."""

from __future__ import annotations

import argparse


def run(args: argparse.Namespace) -> int:
    """Runs until it is stopped."""
    raise NotImplementedError(args)
