"""The simulator: the real engine on a virtual clock, over hosts that run the real scripts in a folder.

`python -m tests.simulator --help` runs it; docs/reliability.md is what `report` writes. One integer reproduces a run.
"""
