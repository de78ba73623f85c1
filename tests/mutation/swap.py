"""Puts a mutant in place of the code that runs, in this process: for a child that ends after its tests."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tests.mutation.mutants import ROOT, Mutant


def put_in_place(mutant: Mutant) -> None:
    """Make every caller run the mutant, whatever name it imported the function or the constant by."""
    for edit in mutant.edits:
        edit.apply()
    code = compile(ast.fix_missing_locations(mutant.tree), str(mutant.path), "exec", dont_inherit=True)
    name = ".".join(mutant.path.relative_to(ROOT).with_suffix("").parts)
    module = importlib.import_module(name)
    if mutant.constant:
        _put_constants(module, mutant.tree, code)
    else:
        (mutated,) = [each for each in _codes(code) if each.co_qualname == mutant.function]
        _find_function(module, mutant.function).__code__ = mutated


def _put_constants(module: ModuleType, tree: ast.Module, code: CodeType) -> None:
    """Put all constants of the module in place anew: one may be made of another."""
    fresh: dict[str, Any] = {"__name__": module.__name__}
    exec(code, fresh)
    for name in _constants(tree):
        before = getattr(module, name)
        for each in list(sys.modules.values()):
            if getattr(each, "__dict__", {}).get(name) is before:
                setattr(each, name, fresh[name])


def _constants(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def _find_function(module: ModuleType, qualified: str) -> FunctionType:
    found: Any = module
    for part in qualified.split("."):
        found = vars(found)[part]
    found = getattr(found, "fget", found)
    assert isinstance(found, FunctionType), f"{qualified} of {module.__name__} is decorated in a way not known here"
    return found
