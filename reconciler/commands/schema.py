"""`reconcile schema`: print or write the JSON Schemas of the desired-state files, for editors."""

from __future__ import annotations

from pathlib import Path

from reconciler.desired_state.reference import reference
from reconciler.desired_state.schema import schemas
from reconciler.errors import UsageError
from reconciler.model.options import Options


def run(options: Options) -> int:
    """Print the schema `options.name` ("app", "fleet", "environment"), or write all into a folder. Return 0."""
    texts = {**schemas(), "README.md": reference()}
    folder: Path | None = getattr(options, "write", None)
    if folder is None:
        print(texts[f"{getattr(options, 'name', None) or 'app'}.schema.json"], end="")
        return 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
            print(folder / name)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}", "name another folder") from error
    return 0
