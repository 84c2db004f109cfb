"""Where the bot reads `orderId` from the answer of an order that it placed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from exit_shim.scan.callers import Callers
from exit_shim.scan.code_index import CallSite, Class, Function
from exit_shim.scan.leaves import Leaf

OLD_KEY: Final = "orderId"
NEW_KEYS: Final = frozenset({"algoId", "clientAlgoId"})


class AnswerReads:
    """Follow answers to the lines that read the old key of them.

    A function that returns the answer is followed one level up. A function that knows the new key too is
    left out: it was adapted.

    Args:
        called_by: The calls of each function.
        is_conditional: Tells of a leaf and a call that leads to it whether that call may place a conditional
            order: a helper may send any type that it is passed.
        others: The calls that place ordinary orders; a function that returns their answers too is left out.
    """

    def __init__(
        self,
        called_by: Callers,
        is_conditional: Callable[[Leaf, CallSite], bool],
        others: Iterable[ast.Call],
    ) -> None:
        self._called_by, self._is_conditional = called_by, is_conditional
        self._others = {id(node) for node in others}

    def find(self, leaves: Iterable[Leaf]) -> Iterator[tuple[Leaf, CallSite, ast.expr]]:
        """Yield each read: the placing leaf, the call whose answer is read, and the expression."""
        for leaf in leaves:
            for read in self._reads_of(leaf.call):
                yield leaf, leaf.call, read
            function = leaf.function
            if function is None or not self._returns(function, leaf.call.node):
                continue
            for call in self._called_by.get(id(function), ()):
                for read in self._reads_of(call) if self._is_conditional(leaf, call) else ():
                    yield leaf, call, read

    def _reads_of(self, call: CallSite) -> Iterator[ast.expr]:
        """Yield where the answer of a call is read: at once, by the name it has, or by an attribute."""
        scope: ast.AST | None = call.function.node if call.function else call.file.source.tree
        if scope is None or _knows_new_key(scope):
            return
        for node in ast.walk(scope):
            base = _base_of_read(node)
            if base is None:
                continue
            if _unawaited(base) is call.node or (
                isinstance(base, ast.Name) and self._last_value(scope, base) is call.node
            ):
                yield base
        yield from self._reads_of_attribute(call)

    def _reads_of_attribute(self, call: CallSite) -> Iterator[ast.expr]:
        owner = call.owner
        names = [
            name
            for name, values in (owner.names.items() if owner is not None else ())
            if values and all(_unawaited(value) is call.node for value in values)
        ]
        for method in _methods(owner) if names else ():
            if _knows_new_key(method.node):
                continue
            for node in ast.walk(method.node):
                base = _base_of_read(node)
                if isinstance(base, ast.Attribute) and base.attr in names and _is_self(base.value):
                    yield base

    def _last_value(self, scope: ast.AST, read: ast.Name) -> ast.expr | None:
        """Return the value that a name was last given above the line that reads it."""
        value: ast.expr | None = None
        best = 0
        for node in ast.walk(scope):
            targets = _targets(node)
            for target in targets:
                if target.id == read.id and best < node.lineno <= read.lineno:  # type: ignore[attr-defined]
                    best, value = node.lineno, node.value  # type: ignore[attr-defined]
        return None if value is None else _unawaited(value)

    def _returns(self, function: Function, call: ast.Call) -> bool:
        """Return whether a function hands the answer of this call to its caller, and no other order's."""
        returned: list[ast.expr | None] = []
        for node in ast.walk(function.node):
            if isinstance(node, ast.Return) and node.value is not None:
                value = _unawaited(node.value)
                is_name = isinstance(value, ast.Name)
                returned.append(self._last_value(function.node, value) if is_name else value)  # type: ignore[arg-type]
        return any(value is call for value in returned) and not any(
            id(value) in self._others for value in returned
        )


def _base_of_read(node: ast.AST) -> ast.expr | None:
    """Return `x` of `x["orderId"]` and `x.get("orderId")`."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        return node.value if _is_key(node.slice) else None
    is_get = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get"
    if is_get and node.args and _is_key(node.args[0]):  # type: ignore[attr-defined]
        return node.func.value  # type: ignore[attr-defined, no-any-return]
    return None


def _is_key(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == OLD_KEY


def _knows_new_key(scope: ast.AST) -> bool:
    return any(isinstance(node, ast.Constant) and node.value in NEW_KEYS for node in ast.walk(scope))


def _unawaited(value: ast.expr) -> ast.expr:
    while isinstance(value, ast.Await):
        value = value.value
    return value


def _targets(node: ast.AST) -> list[ast.Name]:
    if isinstance(node, ast.Assign):
        return [target for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and isinstance(node.target, ast.Name):
        return [node.target]
    return []


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _methods(owner: Class | None) -> Iterable[Function]:
    return owner.methods.values() if owner is not None else ()
