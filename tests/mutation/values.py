"""Mutants of what mutmut leaves alone: the values of modules and classes, and properties.

The table of the states' ways is such a value: each of its entries is left out once.
"""

from __future__ import annotations

import ast

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """`module` with one change, which `what` tells; `source` is the whole module."""

    module: str
    line: int
    what: str
    source: str = field(repr=False)


_OTHERS: Mapping[type[ast.cmpop], ast.cmpop] = {
    ast.GtE: ast.Gt(),
    ast.LtE: ast.Lt(),
    ast.Eq: ast.NotEq(),
    ast.Is: ast.IsNot(),
}


def mutants_of(path: Path, module: str) -> Iterator[Mutant]:
    """Each with one change of the module at `path`."""
    tree = ast.parse(path.read_text("utf-8"))
    for place in _places(tree):
        for node in ast.walk(place):
            for what in _changes(node):  # the tree is as it was when the next one is asked for
                yield Mutant(module, place.lineno, what, ast.unparse(tree))


def _places(tree: ast.Module) -> Iterator[ast.expr]:
    """The values of the module and of its classes, and what their properties return."""
    classes = [one for one in tree.body if isinstance(one, ast.ClassDef)]
    for statement in [*tree.body, *(one for each in classes for one in each.body)]:
        match statement:
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                yield value
            case ast.FunctionDef(decorator_list=[_, *_], body=body):
                returned = (one.value for one in body if isinstance(one, ast.Return))
                yield from (one for one in returned if one is not None)
            case _:
                pass


def _changes(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Set(elements) | ast.Tuple(elements) | ast.List(elements):
            for place, element in enumerate(elements):
                del elements[place]
                yield f"without {ast.unparse(element)}"
                elements.insert(place, element)
        case ast.Dict(keys, values):
            for place, (key, value) in enumerate(zip(keys, values, strict=True)):
                del keys[place], values[place]
                yield f"without {ast.unparse(key or value)}"
                keys.insert(place, key)
                values.insert(place, value)
        case ast.Constant(bool() | int() | float() | str() as value):
            node.value = _another(value)
            yield f"{node.value!r} for {value!r}"
            node.value = value
        case ast.Compare(ops=[op]) if type(op) in _OTHERS:
            node.ops = [_OTHERS[type(op)]]
            yield f"{ast.unparse(node)}"
            node.ops = [op]


def _another(value: bool | float | str) -> bool | float | str:  # noqa: FBT001  # any value
    if isinstance(value, bool):
        return not value
    return f"XX{value}XX" if isinstance(value, str) else value + 1
