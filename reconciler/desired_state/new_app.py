"""Write the file of a new app, with defaults that most apps can keep. People complete and commit it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic_core import PydanticCustomError

from reconciler.desired_state.files import FLEET, FolderTree, Written, collect
from reconciler.desired_state.free_ports import free_ports
from reconciler.desired_state.load import build, label, read_fleet
from reconciler.errors import InvalidDesiredState, UsageError
from reconciler.files import write_whole
from reconciler.model.fields import Text
from reconciler.model.reserved import APP_NAME, other_app_name, why_app_name_is_taken

_NAME = Text(APP_NAME, "cannot name an app", "use a-z, 0-9, _ and -, a letter first, at most 31 in all")
_TEXT = """\
app: {app}
version: "0.1.0"
artifact:
  source: ../build/{app}-{{version}}.tar.gz   # or https://, github:owner/repo, s3://, oci://
hosts: [{hosts}]
ports: [{first}, {second}]   # free in this fleet; it listens on $PORT
start: bin/{app} start
health: {{path: /}}   # answers 2xx when it can serve
# route: {{domains: [{app}.example.com]}}
"""


def write_new_app(folder: Path, app: str, hosts: Sequence[str]) -> tuple[str, tuple[int, int]]:
    """Write apps/<app>.yaml. Return its path for messages, and its ports. Raises UsageError or InvalidDesiredState.

    Without `hosts`: the first host of fleet.yaml, else web1. A file that is there is never overwritten.
    """
    _refuse_name(app)
    written = collect(FolderTree(folder), label(folder)) if folder.is_dir() else Written({}, ())
    key, file = f"apps/{app}.yaml", f"{label(folder)}/apps/{app}.yaml"
    if key in written.files or (folder / key).exists() or (folder / key).is_symlink():
        raise UsageError(f"{file} is there already", "edit it, or choose another name")
    known = sorted(read_fleet(written.files.get(FLEET), f"{label(folder)}/{FLEET}").hosts)
    ports = free_ports(written.files)
    named = ", ".join(map(_quoted, hosts or known[:1] or ["web1"]))
    text = _TEXT.format(app=app, hosts=named, first=ports[0], second=ports[1])
    new = build(Written({**written.files, key: text.encode()}, ()), folder, valid_only=True)
    if app not in {each.app for each in new.apps}:
        raise InvalidDesiredState(tuple(each for each in new.invalid if each.file == file))
    try:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / key, text.encode())
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}", "check its permissions") from error
    return file, ports


def _quoted(host: str) -> str:
    return host if re.fullmatch(r"[A-Za-z][A-Za-z0-9._@-]*", host) else json.dumps(host)


def _refuse_name(app: str) -> None:
    try:
        _NAME.read(app)
    except PydanticCustomError as error:
        raise UsageError(error.message(), str((error.context or {}).get("next_step", ""))) from None
    if why := why_app_name_is_taken(app):
        raise UsageError(f"{app} is {why}", f"call it {other_app_name(app)}, for example")
