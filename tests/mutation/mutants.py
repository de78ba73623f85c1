"""Plants mistakes in the syntax tree of a module: one edit is one mutant.

Left alone: docstrings, annotations, decorators, imports, default arguments, and `assert`, which is there for the type
checker.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutation.expressions import Edit, Planted, Site, mutate, shorten

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "reconciler" / "decide"


@dataclass(frozen=True)
class Mutant:
    """One mistake. `place` and `change` identify it, also after lines have moved."""

    path: Path
    function: str  # qualified name; for a constant of the module, its name
    line: int
    lines: range  # of the statement: a test that runs none of them cannot notice
    change: str
    edits: tuple[Edit, ...] = field(compare=False)
    tree: ast.Module = field(compare=False)
    constant: bool = False

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)} {self.function}"


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of this module, in the order of its lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    made = []
    for name, body in _functions(tree.body):
        made += [_mutant(path, tree, name, edit) for statement in body for edit in _of_statement(statement)]
    for assign in tree.body:
        if isinstance(assign, ast.Assign | ast.AnnAssign) and assign.value and not _is_alias(assign.value):
            name = ast.unparse(assign.targets[0] if isinstance(assign, ast.Assign) else assign.target)
            edits = mutate(Site(assign, assign, "value"))
            made += [_mutant(path, tree, name, edit, constant=True) for edit in edits]
    return _numbered(sorted(made, key=lambda each: each.line))


def _functions(body: list[ast.stmt], above: str = "") -> Iterator[tuple[str, list[ast.stmt]]]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield above + node.name, node.body
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{above}{node.name}.")


def _is_alias(value: ast.expr) -> bool:
    """True for an alias of types, such as `Step | Wait` or `tuple[str, str]`."""
    return isinstance(value, ast.Subscript | ast.BinOp) and not any(
        isinstance(each, ast.Constant) for each in ast.walk(value)
    )


def _mutant(path: Path, tree: ast.Module, function: str, made: Planted, *, constant: bool = False) -> Mutant:
    lines = range(made.statement.lineno, _last_line_of_header(made.statement) + 1)
    return Mutant(path, function, made.line, lines, made.change, made.edits, tree, constant)


def _last_line_of_header(statement: ast.stmt) -> int:
    """The last line of the statement itself, without those of the statements in it."""
    if isinstance(statement, ast.Match):
        return statement.subject.end_lineno or statement.lineno
    body: list[ast.stmt] = getattr(statement, "body", [])
    return max(statement.lineno, body[0].lineno - 1) if body else statement.end_lineno or statement.lineno


def _numbered(made: list[Mutant]) -> list[Mutant]:
    """The mutants; of those that look alike in one function, each after the first bears a number."""
    met: Counter[tuple[str, str]] = Counter()
    result = []
    for each in made:
        met[each.function, each.change] += 1
        count = met[each.function, each.change]
        change = f"{each.change}  (no. {count})" if count > 1 else each.change
        result.append(
            Mutant(each.path, each.function, each.line, each.lines, change, each.edits, each.tree, each.constant)
        )
    return result


def _of_statement(statement: ast.stmt) -> Iterator[Planted]:
    if _says_nothing(statement):
        return
    yield from _whole(statement)
    for name, value in ast.iter_fields(statement):
        if name in ("annotation", "target", "targets", "decorator_list", "args", "returns"):
            continue
        if isinstance(value, ast.expr):
            yield from mutate(Site(statement, statement, name))
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, ast.stmt):
                    yield from _of_statement(each)
                elif isinstance(each, ast.match_case | ast.ExceptHandler):
                    yield from (made for inner in each.body for made in _of_statement(inner))


def _says_nothing(statement: ast.stmt) -> bool:
    """True for a docstring, and for what is there for the type checker only."""
    return isinstance(statement, ast.Assert | ast.Import | ast.ImportFrom) or (
        isinstance(statement, ast.Expr)
        and (isinstance(statement.value, ast.Constant) or ast.unparse(statement).startswith("assert_never("))
    )


def _whole(statement: ast.stmt) -> Iterator[Planted]:
    """The statement does nothing, or returns nothing."""
    text = shorten(ast.unparse(statement).partition("\n")[0])
    if isinstance(statement, ast.Return) and statement.value and not _is_nothing(statement.value):
        edit = Edit(statement, "value", None, ast.Constant(None))
        yield Planted(statement, statement.lineno, f"{text} → return None", (edit,))
    elif isinstance(statement, ast.Continue):
        # `continue` as the whole body of an if: as `break` the loop ends too early.
        yield Planted(statement, statement.lineno, "continue → break", (_swap_kind(statement),))
    elif isinstance(statement, ast.AugAssign):
        nothing = Edit(statement, "value", None, _neutral(statement))
        yield Planted(statement, statement.lineno, f"{text} → left out", (nothing,))
    elif isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Yield | ast.YieldFrom):
        nothing = Edit(statement, "value", None, ast.Constant(None))
        yield Planted(statement, statement.lineno, f"{text} → left out", (nothing,))
    elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
        nothing = Edit(statement, "targets", None, [ast.Name("_", ast.Store())])
        yield Planted(statement, statement.lineno, f"{text} → left out", (nothing,))


def _swap_kind(statement: ast.Continue) -> Edit:
    return Edit(statement, "__class__", None, ast.Break)


def _neutral(statement: ast.AugAssign) -> ast.expr:
    """What the operator adds without an effect: the target itself for sets and dicts, an empty text for a text."""
    if isinstance(statement.op, ast.BitOr):
        return ast.parse(ast.unparse(statement.target), mode="eval").body
    return ast.Constant("")


def _is_nothing(node: ast.expr) -> bool:
    """True for None, and for what a caller that asks `if` cannot tell from it."""
    return (isinstance(node, ast.Constant) and not node.value) or (isinstance(node, ast.Tuple) and not node.elts)
