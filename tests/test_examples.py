"""Every YAML block of the documentation loads, and every `reconcile …` command line in it is accepted."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.cli import COMMANDS, parser, read_options
from reconciler.commands.arguments import OWN, SECRETS
from reconciler.desired_state.load import load
from reconciler.desired_state.yaml_text import read_yaml

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for name in ("docs", "deploy", "schemas") for page in (ROOT / name).rglob("*.md"))]
)
FILE = re.compile(r"# (?:desired-state/)?(fleet\.yaml|(?:apps|environments)/([a-z0-9_-]+)\.yaml)(,.*)?$")
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
    environment = Path(block.file).stem if block.file.startswith("environments/") else ""
    if environment:
        _complete_around(files, block.file)
    if not any(file.startswith("apps/") for file in files):
        files["apps/my_app.yaml"] = _text(_usual("my_app"))
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")

    assert load(tmp_path, working_tree=True).apps
    assert load(tmp_path, working_tree=True, environment=environment).apps


def _complete_around(files: dict[str, str], environment: str) -> None:
    """Add what an environment is laid over: each app that it names, on a host of production."""
    files.setdefault("fleet.yaml", "hosts: {web1: {address: 203.0.113.7, groups: [web]}}\n")
    named = read_yaml(files[environment].encode(), environment).value
    assert isinstance(named, dict)
    for number, app in enumerate(named["apps"]):
        ports = [str(4000 + 2 * number), str(4001 + 2 * number)]
        files.setdefault(f"apps/{app}.yaml", _text({**_usual(app), "hosts": ["group:web"], "ports": ports}))


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


# A command line: what a reader may copy, with a word in capitals for what only the reader knows.

SHELL = {"", "sh", "bash", "console", "text"}  # languages of fenced blocks
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_]*")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
NOT_COMMANDS = {"reconcile ALL=(root) NOPASSWD: /usr/local/sbin/reconcile-host"}  # a line for sudo, about the user


@dataclass(frozen=True)
class CommandLine:
    """The arguments of one call of reconcile, and where it is written."""

    place: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.place}: reconcile {' '.join(self.words)}"


def calls(line: str) -> Iterator[tuple[str, ...]]:
    """The arguments of each call of reconcile in one line of shell: behind a prompt, a pipe, `&&`, or NAME=VALUE."""
    if not re.search(r"(?<![\w.-])reconcile(?![\w.-])", line) or line.strip() in NOT_COMMANDS:
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "#", True
    try:
        words = list(lexer)
    except ValueError:  # one apostrophe: prose, such as an output that is shown
        assert not re.match(r"\s*(\$ )?reconcile ", line), f"a quote is not closed: {line}"
        return
    for is_operator, group in itertools.groupby(words, lambda word: set(word) <= set("();<>|&")):
        if is_operator:
            continue
        call = list(itertools.dropwhile(lambda word: word == "$" or ASSIGNMENT.match(word), group))
        if call and (call[0] == "reconcile" or call[0].endswith("/bin/reconcile")):
            yield tuple(call[1:])


def code_lines(page: Path) -> Iterator[tuple[int, str]]:
    """Each line of a fenced block of shell or text, and of an indented block. A backslash joins it with the next."""
    language: str | None = None
    begun, begun_at = "", 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if fence := re.fullmatch(r"\s*```(\w*).*", line):
            language = fence[1] if language is None else None
            continue
        if language in SHELL if language is not None else line.startswith("    "):
            begun, begun_at = begun + line.removesuffix("\\"), begun_at or number
            if not line.endswith("\\"):
                yield begun_at, begun
                begun, begun_at = "", 0


def spans(page: Path, beginning: str) -> Iterator[tuple[int, str]]:
    """Each `code span` of the prose that begins so; `[--an option]` in it is tried both with and without."""
    inside, option = False, re.compile(r"\[(-[^\]]*)\]")
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside and not line.startswith("    "):
            found = [span for span in SPAN.findall(line) if span.startswith(beginning)]
            yield from (
                (number, text)
                for span in found
                for text in dict.fromkeys([option.sub(r"\1", span), option.sub("", span)])
            )


def commands_of(page: Path) -> list[CommandLine]:
    """All that a page shows, but for a command that its prose only names."""
    found = [(at, words) for at, line in code_lines(page) for words in calls(line)]
    found += [(at, words) for at, span in spans(page, "reconcile ") for words in calls(span) if not is_name(words)]
    return [CommandLine(f"{page.relative_to(ROOT)}:{at}", words) for at, words in found]


def is_name(words: Sequence[str]) -> bool:
    """True for `reconcile exec` or `reconcile secrets set`: the prose names the command and shows no call of it."""
    return len(words) > 0 and words[0] in COMMANDS and all(word in SECRETS for word in words[1:])


def accept(words: Sequence[str]) -> None:
    """Parse as the program does. A placeholder can be a number too: it stands for any value."""
    named = read_options(["1" if PLACEHOLDER.fullmatch(word) else word for word in words])

    assert named.command in (None, *COMMANDS)


COMMAND_LINES = [command for page in PAGES for command in commands_of(page)]


def test_command_lines_are_found_wherever_they_are_written() -> None:
    """Otherwise the search for them is broken, and the test below passes without looking at anything."""
    folders = {command.place.rpartition("/")[0] for command in COMMAND_LINES}

    assert {"", "docs", "deploy", "deploy/systemd", "deploy/traefik"} <= folders
    assert len(COMMAND_LINES) >= 50
    assert list(calls('$ RECONCILE_ALLOW_LOCAL=yes ~/bin/reconcile plan && cat x | reconcile set "a b" 1 >y # c')) == [
        ("plan",),
        ("set", "a b", "1"),
    ]


@pytest.mark.parametrize("command", COMMAND_LINES, ids=str)
def test_a_command_line_of_a_page_is_accepted(command: CommandLine) -> None:
    accept(command.words)


def test_each_option_that_the_readme_names_exists() -> None:
    known = {name for arguments in OWN.values() for names, _ in arguments for name in names}
    known |= set(re.findall(r"--[a-z-]+", parser().format_help()))
    named = [span.split()[0] for _, span in spans(ROOT / "README.md", "--")]

    assert len(named) >= 10
    assert [name for name in named if name not in known] == []
