"""The texts that an expression may stand for, as far as the source shows them."""

from __future__ import annotations

import ast
import itertools
from typing import Final

from exit_shim.domain.orders import CONDITIONAL_KINDS
from exit_shim.scan.code_index import Class, CodeIndex, FileIndex, Function, dotted_name

UNKNOWN: Final = "\0"
"""Stands in a text for a part that the source does not show."""

MOST: Final = 8
"""The texts that are kept of one expression."""

DEEPEST: Final = 6
"""How many names are followed, one behind the other."""

#: The prefixes of python-binance's constants, which stand for what follows.
_ENUM_PREFIXES: Final = ("FUTURE_ORDER_TYPE_", "ORDER_TYPE_", "SIDE_", "TIME_IN_FORCE_")
#: Names that stand for themselves, wherever they come from.
_WORDS: Final = frozenset({*CONDITIONAL_KINDS, "MARKET", "LIMIT", "BUY", "SELL", "POST", "PUT", "DELETE"})
#: The classes of enums whose members stand for their names.
_ENUM_CLASSES: Final = frozenset({"OrderType", "FuturesOrderType", "Side", "OrderSide"})


class Folder:
    """Fold expressions of one place in the code into texts.

    Args:
        index: The index of all files.
        file: The file of the place.
        function: The function around it.
        owner: The class around it.
    """

    def __init__(
        self, index: CodeIndex, file: FileIndex, function: Function | None, owner: Class | None
    ) -> None:
        self._index, self._file, self._function, self._owner = index, file, function, owner

    def texts(self, node: ast.expr | None, depth: int = 0) -> list[str]:
        """Return the texts that an expression may stand for; empty where nothing is known of it."""
        if node is None or depth > DEEPEST:
            return []
        texts: list[str] = []
        if isinstance(node, ast.Constant):
            texts = [str(node.value)] if isinstance(node.value, (str, int, float)) else []
        elif isinstance(node, ast.JoinedStr):
            texts = self._joined([self._part(part, depth) for part in node.values])
        elif isinstance(node, ast.BinOp):
            texts = self._operation(node, depth)
        elif isinstance(node, ast.IfExp):
            texts = [*self.texts(node.body, depth), *self.texts(node.orelse, depth)]
        elif isinstance(node, (ast.Name, ast.Attribute)):
            texts = self._named(node, depth)
        elif isinstance(node, ast.Subscript):
            texts = self._item(node, depth)
        elif isinstance(node, ast.Call):
            texts = self._call(node, depth)
        return list(dict.fromkeys(texts))[:MOST]

    def items(self, node: ast.expr) -> list[str]:
        """Return the texts in a list or tuple, such as a row of a verb and a path: `*PATHS.order`."""
        node = node.value if isinstance(node, ast.Starred) else node
        values = [node]
        if isinstance(node, (ast.Name, ast.Attribute)):
            values = self._values(node)
        elif isinstance(node, ast.Subscript):
            values = self._under_key(node)
        rows = [value.elts for value in values[:MOST] if isinstance(value, (ast.List, ast.Tuple))]
        return [text for row in rows for item in row[:MOST] for text in self.texts(item, 1)]

    def _part(self, part: ast.expr, depth: int) -> list[str]:
        if isinstance(part, ast.FormattedValue):
            return self.texts(part.value, depth + 1) or [UNKNOWN]
        return self.texts(part, depth)

    def _joined(self, parts: list[list[str]]) -> list[str]:
        return ["".join(row) for row in itertools.islice(itertools.product(*parts), MOST)]

    def _operation(self, node: ast.BinOp, depth: int) -> list[str]:
        if not isinstance(node.op, (ast.Add, ast.Mod)):
            return []
        left = self.texts(node.left, depth) or [UNKNOWN]
        if isinstance(node.op, ast.Mod):
            return [text.partition("%")[0] + UNKNOWN if "%" in text else text for text in left]
        return self._joined([left, self.texts(node.right, depth) or [UNKNOWN]])

    def _call(self, node: ast.Call, depth: int) -> list[str]:
        """Return the text behind `"…".format(…)`, `str(x)`, `x.upper()` and the like."""
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in {"format", "upper", "lower", "strip"}:
            texts = self.texts(function.value, depth)
            if function.attr == "format":
                return [text.partition("{")[0] + UNKNOWN if "{" in text else text for text in texts]
            return [getattr(text, function.attr)() for text in texts]
        if isinstance(function, ast.Name) and function.id == "str" and node.args:
            return self.texts(node.args[0], depth)
        return []

    def _item(self, node: ast.Subscript, depth: int) -> list[str]:
        return [text for value in self._under_key(node) for text in self.texts(value, depth + 1)]

    def _under_key(self, node: ast.Subscript) -> list[ast.expr]:
        """Return what is under a key of a dict in the source: `PATHS["order"]`, `self.paths["order"]`."""
        if not isinstance(node.value, (ast.Name, ast.Attribute)) or not isinstance(node.slice, ast.Constant):
            return []
        return [
            value
            for table in self._values(node.value)
            if isinstance(table, ast.Dict)
            for key, value in zip(table.keys, table.values, strict=True)
            if isinstance(key, ast.Constant) and key.value == node.slice.value
        ]

    def _values(self, node: ast.Name | ast.Attribute) -> list[ast.expr]:
        if isinstance(node, ast.Name):
            return self._index.values_of(self._file, self._function, self._owner, node.id)
        if isinstance(node.value, ast.Name):
            found = self._attribute(node.value.id, node.attr)
            if found:
                return found
        return self._attribute_of_object(node) if isinstance(node.value, (ast.Name, ast.Attribute)) else []

    def _attribute_of_object(self, node: ast.Attribute) -> list[ast.expr]:
        """Return the values of `paths.order` and `self.paths.order`, where `paths` is a class or of one."""
        if isinstance(node.value, ast.Attribute):
            if not isinstance(node.value.value, ast.Name):
                return []
            holders = self._attribute(node.value.value.id, node.value.attr)
        else:
            holders = self._values(node.value)  # type: ignore[arg-type]
        for holder in holders[:MOST]:
            name = dotted_name(holder.func if isinstance(holder, ast.Call) else holder)
            owner = self._index.find_class(self._file, name) if name else None
            if owner is not None and node.attr in owner.names:
                return owner.names[node.attr]
        return []

    def _named(self, node: ast.Name | ast.Attribute, depth: int) -> list[str]:
        if isinstance(node, ast.Attribute) and node.attr == "value" and isinstance(node.value, ast.Attribute):
            # A member of an enum.
            return self.texts(node.value, depth + 1)
        texts = [text for value in self._values(node)[:MOST] for text in self.texts(value, depth + 1)]
        return texts or _enum_text(dotted_name(node) or "")

    def _attribute(self, base: str, name: str) -> list[ast.expr]:
        if base in {"self", "cls"} and self._owner is not None:
            return self._owner.names.get(name, [])
        owner = self._index.find_class(self._file, base)
        if owner is not None:
            return owner.names.get(name, [])
        dotted = self._index.resolve(self._file, base)
        module = self._index.find_module(dotted) if dotted else None
        return [] if module is None else module.names.get(name, [])


def _enum_text(name: str) -> list[str]:
    """Return the text of a constant of a client library: `Client.SIDE_BUY`, `OrderType.MARKET`."""
    owner, _, last = name.rpartition(".")
    if last in _WORDS:
        return [last]
    if owner.rpartition(".")[2] in _ENUM_CLASSES:
        return [last]
    return [last.removeprefix(prefix) for prefix in _ENUM_PREFIXES if last.startswith(prefix)][:1]
