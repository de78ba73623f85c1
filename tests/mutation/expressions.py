"""Plants mistakes in expressions: comparisons, conditions, operators, constants, elements and arguments of calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_SHIFTED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_OTHER_SUM: dict[type[ast.operator], type[ast.operator]] = {
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
_OPPOSITE = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "reversed": "list"}


@dataclass(frozen=True)
class Edit:
    """Put `new` in place of what the parent holds in this field; None takes an element out of a list."""

    parent: ast.AST
    name: str
    index: int | None
    new: object

    def apply(self) -> None:
        if self.index is None:
            setattr(self.parent, self.name, self.new)
        elif self.new is None:
            del getattr(self.parent, self.name)[self.index]
        else:
            getattr(self.parent, self.name)[self.index] = self.new


@dataclass(frozen=True)
class Site:
    """Where an expression stands: the statement around it, the node that holds it, and in which field."""

    statement: ast.stmt
    parent: ast.AST
    name: str
    index: int | None = None

    @property
    def node(self) -> ast.AST:
        held = getattr(self.parent, self.name)
        found: ast.AST = held if self.index is None else held[self.index]
        return found


@dataclass(frozen=True)
class Planted:
    statement: ast.stmt
    line: int
    change: str
    edits: tuple[Edit, ...]


def mutate(site: Site) -> Iterator[Planted]:
    """Every mutant of this expression and of those in it."""
    node = site.node
    if isinstance(node, ast.JoinedStr):
        yield _replace(site, ast.Constant(""))
    else:
        for new in _of_expression(node):
            yield _replace(site, new)
        yield from _shorter(site)
        if _holds_condition(site):
            yield from (_replace(site, ast.Constant(value)) for value in (True, False) if not _is_constant(node, value))
    for inner in _parts(site):
        yield from mutate(inner)


def _parts(site: Site) -> Iterator[Site]:
    """The expressions in this one. Of a text with values in it, only the values."""
    node = site.node
    for name, value in ast.iter_fields(node):
        if name in ("ctx", "annotation", "target", "format_spec") or isinstance(node, ast.arguments):
            continue
        many = value if isinstance(value, list) else [value]
        for index, each in enumerate(many):
            if isinstance(node, ast.JoinedStr) and not isinstance(each, ast.FormattedValue):
                continue
            if isinstance(each, ast.expr | ast.keyword | ast.comprehension):
                yield Site(site.statement, node, name, index if isinstance(value, list) else None)


def _is_constant(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _replace(site: Site, new: ast.expr) -> Planted:
    old = site.node
    shown = f"{shorten(ast.unparse(old))} → {shorten(ast.unparse(new))}"
    return Planted(
        site.statement,
        getattr(old, "lineno", site.statement.lineno),
        shown,
        (Edit(site.parent, site.name, site.index, new),),
    )


def _holds_condition(site: Site) -> bool:
    """True if the expression is asked whether it is true: the test of an if, or a filter of a comprehension."""
    if isinstance(site.node, ast.NamedExpr):
        return False  # the name would be missing
    return site.name == "test" or (isinstance(site.parent, ast.comprehension) and site.name == "ifs")


def _of_expression(node: ast.AST) -> Iterator[ast.expr]:
    """Each expression that could stand here by mistake."""
    match node:
        case ast.Compare():
            yield from _of_comparison(node)
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield ast.BoolOp(other, node.values)
            for index in range(len(node.values)):
                rest = node.values[:index] + node.values[index + 1 :]
                if not _names_something(node.values[index]):
                    yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.BinOp():
            yield from _of_sum(node)
        case ast.Constant():
            yield from _of_constant(node)
        case ast.Subscript(slice=ast.Slice()):
            yield node.value
        case ast.Call():
            yield from _of_call(node)


def _names_something(node: ast.AST) -> bool:
    return any(isinstance(each, ast.NamedExpr) for each in ast.walk(node))


def _of_comparison(node: ast.Compare) -> Iterator[ast.expr]:
    for index, op in enumerate(node.ops):
        for table in (_NEGATED, _SHIFTED):
            if other := table.get(type(op)):
                yield ast.Compare(node.left, [*node.ops[:index], other(), *node.ops[index + 1 :]], node.comparators)


def _of_sum(node: ast.BinOp) -> Iterator[ast.expr]:
    if other := _OTHER_SUM.get(type(node.op)):
        yield ast.BinOp(node.left, other(), node.right)
    if isinstance(node.op, ast.Add | ast.BitOr | ast.BitAnd | ast.Sub):
        yield node.left
    if isinstance(node.op, ast.Add | ast.BitOr | ast.BitAnd):
        yield node.right


def _of_constant(node: ast.Constant) -> Iterator[ast.expr]:
    match node.value:
        case bool():
            yield ast.Constant(not node.value)
        case int() | float():
            yield ast.Constant(0 if node.value == 1 else node.value + 1)
        case str():
            yield ast.Constant("" if node.value else "something")


def _of_call(node: ast.Call) -> Iterator[ast.expr]:
    if isinstance(node.func, ast.Name) and node.func.id in _OPPOSITE:
        keywords = [] if node.func.id == "sorted" else node.keywords
        yield ast.Call(ast.Name(_OPPOSITE[node.func.id], ast.Load()), node.args, keywords)
    if isinstance(node.func, ast.Name) and node.func.id in ("min", "max", "isinstance"):
        return  # the order does not matter, or is an error at once
    for index, (one, two) in enumerate(zip(node.args, node.args[1:], strict=False)):
        if ast.dump(one) != ast.dump(two) and not (_is_starred(one) or _is_starred(two)):
            yield ast.Call(node.func, [*node.args[:index], two, one, *node.args[index + 2 :]], node.keywords)


def _shorter(site: Site) -> Iterator[Planted]:
    """The same list, set, tuple or dict without one of its elements; the same call without one of its keywords."""
    node = site.node
    if isinstance(node, ast.Call):
        for index, keyword in enumerate(node.keywords):
            if keyword.arg:
                text = f"{ast.unparse(node.func)}(… {shorten(ast.unparse(keyword))}) → left out"
                yield Planted(site.statement, keyword.value.lineno, text, (Edit(node, "keywords", index, None),))
    elif isinstance(node, ast.Dict) and len(node.keys) > 1:
        for index, key in enumerate(node.keys):
            name = ast.unparse(key) if key else f"**{ast.unparse(node.values[index])}"
            edits = (Edit(node, "keys", index, None), Edit(node, "values", index, None))
            line = node.values[index].lineno
            yield Planted(site.statement, line, f"{shorten(name)} → left out", edits)
    elif isinstance(node, ast.Tuple | ast.List | ast.Set) and len(node.elts) > 1 and not _is_unpacked(site):
        for index, each in enumerate(node.elts):
            text = f"{shorten(ast.unparse(each))} → left out"
            yield Planted(site.statement, each.lineno, text, (Edit(node, "elts", index, None),))


def _is_unpacked(site: Site) -> bool:
    """True for the values of `a, b = …` and for a key of two parts, which would be an error at once."""
    return isinstance(site.parent, ast.Assign | ast.Subscript | ast.FormattedValue)


def _is_starred(node: ast.expr) -> bool:
    return isinstance(node, ast.Starred)


def shorten(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:44]} … {text[-44:]}"
