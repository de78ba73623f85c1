"""`reconcile init APP`: write the file of a new app, with free ports, for the operator to complete and commit."""

from __future__ import annotations

import json

from reconciler.desired_state.load import label
from reconciler.desired_state.new_app import write_new_app
from reconciler.errors import UsageError
from reconciler.model.options import Options


def run(options: Options) -> int:
    """Write the file and return 0, or raise; a file that is there is never overwritten."""
    if options.repo or options.ref:
        raise UsageError("init writes a local file", "leave out --repo and --ref")
    file, ports = write_new_app(options.desired_state, options.app_name, options.host or ())
    if options.json:
        print(json.dumps({"app": options.app_name, "file": file, "ports": ports}, indent=2))
        return 0
    print(f"{file}: ports {ports[0]} and {ports[1]}")
    print(f"next: complete it, reconcile validate --working-tree, git add {label(options.desired_state)}, and commit")
    return 0
