"""Whatever a page of ours has people write into their desired state is taken as it stands there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.desired_state.load import load
from reconciler.desired_state.yaml_text import read_yaml

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for name in ("docs", "deploy", "schemas") for page in (ROOT / name).rglob("*.md"))]
)
FILE = re.compile(r"# (?:desired-state/)?(fleet\.yaml|apps/([a-z0-9_-]+)\.yaml)(,.*)?$")
# What only the reader knows, as a page leaves it out.
LEFT_OUT = {"sha256: …": "sha256: " + 64 * "0"}


@dataclass(frozen=True)
class Block:
    """YAML on a page. Its first line names the file; what follows a comma there says that it is only a part of it."""

    page: Path
    line: int
    heading: str
    text: str

    @property
    def named(self) -> re.Match[str] | None:
        return FILE.match(self.heading)

    @property
    def file(self) -> str:
        assert self.named
        return self.named[1]

    @property
    def is_part(self) -> bool:
        assert self.named
        return bool(self.named[3])

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every block marked as YAML, and every indented one that begins with the name of a file of the desired state."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found, at = [], 0
    while at < len(lines):
        indent = len(lines[at]) - len(lines[at].lstrip())
        fenced = re.fullmatch(r"\s*```ya?ml\b.*", lines[at]) is not None
        begin = at + fenced
        end = begin
        if fenced:
            while lines[end].strip() != "```":
                end += 1
        elif indent >= 4 and FILE.match(lines[at].strip()):
            while end < len(lines) and (lines[end].startswith(" " * indent) or not lines[end].strip()):
                end += 1
        if end > begin:
            inside = [line[indent:] for line in lines[begin:end]]
            found.append(Block(page, begin + 1, inside[0], "".join(f"{line}\n" for line in inside[1:])))
        at = max(end, at) + 1
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]


def test_there_are_blocks_in_all_kinds_of_pages() -> None:
    """Else the search for them is broken, and nothing below says anything."""
    folders = {block.page.parent.relative_to(ROOT).as_posix() for block in BLOCKS}

    assert {".", "docs", "deploy", "deploy/traefik", "deploy/example"} <= folders
    assert len(BLOCKS) >= 20


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_into_which_file_it_goes(block: Block) -> None:
    assert block.named, f"begin it with # desired-state/apps/<app>.yaml or # desired-state/fleet.yaml: {block.heading}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.named], ids=str)
def test_what_a_page_says_to_write_is_taken(block: Block, tmp_path: Path) -> None:
    """A whole file word for word; a part of one over what its page has shown of that file before.

    A fleet.yaml goes together with the part of an app that follows it.
    """
    (tmp_path / "apps").mkdir()
    files: dict[str, str] = {}
    of_page = [each for each in blocks(block.page) if each.named]
    shown = of_page.index(block) + 1
    if block.file == "fleet.yaml" and shown < len(of_page) and of_page[shown].is_part:
        shown += 1
    for each in of_page[:shown]:
        files[each.file] = _joined(files, each) if each.is_part else _complete(each)
    if not any(file.startswith("apps/") for file in files):
        files["apps/my_app.yaml"] = _text(_usual("my_app"))
    for file, text in files.items():
        (tmp_path / file).write_text(text, encoding="utf-8")

    assert load(tmp_path, working_tree=True).apps


def _complete(block: Block) -> str:
    text = block.text
    for left_out, example in LEFT_OUT.items():
        text = text.replace(left_out, example)
    return text


def _joined(files: Mapping[str, str], part: Block) -> str:
    usual = {} if part.file == "fleet.yaml" else _usual(Path(part.file).stem)
    before = _read(files[part.file], part) if part.file in files else usual
    new = _read(_complete(part), part)
    env = {**_block(before, "env"), **_block(new, "env")}
    return _text({**before, **new, **({"env": env} if env else {})})


def _usual(app: str) -> dict[str, object]:
    source = f"../build/{app}-{{version}}.tar.gz"
    hosts, ports = ["root@203.0.113.7"], ["4000", "4001"]
    return {"app": app, "version": "1.0", "artifact": {"source": source}, "hosts": hosts, "ports": ports}


def _read(text: str, block: Block) -> dict[str, object]:
    document = read_yaml(text.encode(), str(block))
    assert not document.problems, document.problems
    assert isinstance(document.value, dict)
    return document.value


def _block(value: Mapping[str, object], key: str) -> dict[str, object]:
    inner = value.get(key, {})
    assert isinstance(inner, dict)
    return inner


def _text(value: object) -> str:
    """JSON is YAML, and quotes everything: each value stays the text it was."""
    return json.dumps(value, ensure_ascii=False)
