"""`python -m reconciler` is the command `reconcile`."""

import sys

from reconciler.cli import program

if __name__ == "__main__":
    sys.exit(program())
