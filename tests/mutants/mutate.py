"""Which small changes can be made to a function, one at a time?

Only what is inside a function: constants of a module and the fields of a record are tested by what they decide. Words
of messages are left alone, and with them what a raised error is told. A mutant is the compiled function with one
change; nothing is written to a file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Final, TypeAlias

Change: TypeAlias = tuple[ast.AST, str, ast.AST]
"""The node, what becomes of it in words, and what stands in its place."""

_OTHER: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NAMES: Final = {"any": "all", "all": "any", "min": "max", "max": "min"}
_LEFT_ALONE: Final = frozenset({"advice", "__repr__", "__str__"})
"""What only words come from."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: where it is, what it is, and the lines of the statement that it stands in."""

    path: Path
    function: str
    first_line: int
    line: int
    last_line: int
    column: int
    change: str
    number: int
    """Which of the changes that can be made to its file."""
    around: tuple[int, int]

    @property
    def name(self) -> str:
        """It, for a list."""
        return f"{self.path}:{self.line}:{self.column} {self.function}: {self.change}"


def mutants_of(path: Path) -> list[Mutant]:
    """Every mutant of the functions in a file."""
    return [
        Mutant(path, name, first, node.lineno, node.end_lineno or node.lineno, node.col_offset, words, number, around)
        for number, (name, first, around, (node, words, _)) in enumerate(_changes(ast.parse(path.read_bytes())))
        if isinstance(node, ast.expr | ast.stmt)
    ]


def made_at_import(path: Path) -> frozenset[str]:
    """The functions of a file that its own statements call while it is loaded, and those that these call.

    A change of one comes too late: what it made is there already. What it made is proved by whoever uses it.
    """
    tree = ast.parse(path.read_bytes())
    functions = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}
    reached: set[str] = set()
    waiting: list[ast.AST] = [each for each in tree.body if not isinstance(each, ast.FunctionDef | ast.ClassDef)]
    while waiting:
        calls = (each.func for each in ast.walk(waiting.pop()) if isinstance(each, ast.Call))
        named = {each.id for each in calls if isinstance(each, ast.Name)} & functions.keys()
        waiting += [functions[each] for each in named - reached]
        reached |= named
    return frozenset(reached)


def code_of(mutant: Mutant, filename: str) -> CodeType:
    """The function with its change, compiled; `filename` is the one it was loaded from."""
    tree = ast.parse(mutant.path.read_bytes())
    for number, (*_, (node, _, other)) in enumerate(_changes(tree)):
        if number == mutant.number:
            _Put(node, other).visit(tree)
            break
    module = compile(ast.fix_missing_locations(tree), filename, "exec", dont_inherit=True)
    (found,) = (
        each
        for each in codes(module)
        if each.co_qualname == mutant.function and each.co_firstlineno == mutant.first_line
    )
    return found


def codes(code: CodeType) -> Iterator[CodeType]:
    """A code object, and all that stand in it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from codes(each)


class _Put(ast.NodeTransformer):
    """Puts one node in another's place."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._old:
            return ast.copy_location(self._new, node)
        return super().visit(node)  # type: ignore[no-any-return]


def _changes(tree: ast.Module) -> Iterator[tuple[str, int, tuple[int, int], Change]]:
    """Each with its function's name and first line, and the lines of its statement."""
    for name, function in _functions(tree, ""):
        first = min([function.lineno, *(each.lineno for each in function.decorator_list)])
        for statement in function.body:
            for around, change in _in_statement(statement):
                yield name, first, around, change


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            if each.name not in _LEFT_ALONE:
                yield prefix + each.name, each
        elif isinstance(each, ast.ClassDef):
            yield from _functions(each, f"{prefix}{each.name}.")


def _in_statement(statement: ast.stmt) -> Iterator[tuple[tuple[int, int], Change]]:
    around = (statement.lineno, statement.end_lineno or statement.lineno)
    for change in _of_statement(statement):
        yield around, change
    for name, field in ast.iter_fields(statement):
        # Types decide nothing, and what an error says is words.
        if name != "annotation" and not (isinstance(statement, ast.Raise) and isinstance(field, ast.Call)):
            for each in field if isinstance(field, list) else [field]:
                if isinstance(each, ast.AST):
                    yield from _below(each, around)


def _below(node: ast.AST, around: tuple[int, int]) -> Iterator[tuple[tuple[int, int], Change]]:
    if isinstance(node, ast.stmt):
        yield from _in_statement(node)
        return
    if isinstance(node, ast.arguments):
        return
    for change in _of_expression(node):
        yield around, change
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return  # that two lists are as long as each other, which they are by how they are made
    for _, field in ast.iter_fields(node):
        for each in field if isinstance(field, list) else [field]:
            if isinstance(each, ast.AST):
                yield from _below(each, around)


def _of_statement(node: ast.stmt) -> Iterator[Change]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "not done", ast.Pass()
    elif isinstance(node, ast.If):
        for word, value in (("never", False), ("always", True)):
            changed = deepcopy(node)
            changed.test = ast.Constant(value)
            yield node, word, changed
    elif isinstance(node, ast.Continue):
        yield node, "break", ast.Break()
    elif isinstance(node, ast.Break):
        yield node, "continue", ast.Continue()
    elif isinstance(node, ast.AugAssign) and type(node.op) in _OTHER:
        changed_sum = deepcopy(node)
        changed_sum.op = _OTHER[type(node.op)]()  # type: ignore[assignment]
        yield node, f"{_word(node.op)} becomes {_word(changed_sum.op)}", changed_sum


def _of_expression(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            changed = deepcopy(node)
            changed.ops[at] = _OTHER[type(operator)]()  # type: ignore[call-overload]
            yield node, f"{_word(operator)} becomes {_word(changed.ops[at])}", changed
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in _OTHER:
        other = deepcopy(node)
        other.op = _OTHER[type(node.op)]()  # type: ignore[assignment]
        yield node, f"{_word(node.op)} becomes {_word(other.op)}", other
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, "without its not", node.operand
    elif isinstance(node, ast.IfExp):
        yield node, "always the first", node.body
        yield node, "always the second", node.orelse
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield node, f"{node.value} becomes {node.value + 1}", ast.Constant(node.value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield node, f"{node.value} becomes {not node.value}", ast.Constant(not node.value)
    elif isinstance(node, ast.Name) and node.id in _NAMES and isinstance(node.ctx, ast.Load):
        yield node, f"{node.id} becomes {_NAMES[node.id]}", ast.Name(_NAMES[node.id], ast.Load())


def _word(node: ast.AST) -> str:
    return type(node).__name__
