"""What an order is for, where the literals of a call show it."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping
from typing import Final

from exit_shim.domain.orders import read_order
from exit_shim.scan.code_index import CallSite, CodeIndex
from exit_shim.scan.constants import Folder
from exit_shim.scan.order_methods import CCXT, CONNECTOR, OFFICIAL_SDK, OrderMethod

ENTRY: Final = "entry"

_POSITIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    CCXT: ("symbol", "type", "side", "quantity", "price", "params"),
    CONNECTOR: ("symbol", "side", "type"),
    OFFICIAL_SDK: ("symbol", "side", "type"),
}
"""The names of the arguments that come by place."""

_CCXT_KINDS: Final = {
    "stopLossPrice": "sl",
    # ccxt takes a trigger price without a word for it as a stop.
    "stopPrice": "sl",
    "triggerPrice": "sl",
    "takeProfitPrice": "tp",
    "trailingPercent": "trailing",
    "callbackRate": "trailing",
}
_CCXT_TYPES: Final = {"TAKE_PROFIT": "tp", "TRAILING": "trailing", "STOP": "sl"}
_CCXT_METHODS: Final = {
    "stop": "sl",
    "take_profit": "tp",
    "takeprofit": "tp",
    "trailing": "trailing",
    "trigger": "sl",
    "reduce": "close",
}

#: Field name to text; None where the source does not show the value.
Fields = dict[str, str | None]


class Kinds:
    """Read the fields of order calls and tell what the orders are for.

    Args:
        index: The index of all files.
    """

    def __init__(self, index: CodeIndex) -> None:
        self._index = index

    def find(self, call: CallSite, method: OrderMethod) -> str | None:
        """Return the kind of the order that a call places, "entry", or None where it does not show.

        A batch has the kinds of its orders, joined by "+".
        """
        if method.action != "place":
            return None
        fields, is_whole, batch = self._read(call, method.library)
        if batch:
            kinds = [_kind({**row}, {}, is_whole=True) for row in batch]
            return "+".join(dict.fromkeys(kind or "?" for kind in kinds))
        if method.library == CCXT:
            return _ccxt_kind(method.name, fields, is_whole=is_whole)
        return _kind(fields, method.implies, is_whole=is_whole)

    def _read(self, call: CallSite, library: str) -> tuple[Fields, bool, list[Fields]]:
        """Return the fields of a call, whether all are known by name, and the orders of a batch."""
        fields: Fields = {}
        is_whole, batch = True, list[Fields]()
        names = _POSITIONAL.get(library, ())
        folder = Folder(self._index, call.file, call.function, call.owner)
        for name, value in (*zip(names, call.node.args, strict=False), *_keywords(call.node)):
            table = self._table(value, call, folder)
            if name is None or name in {"data", "params", "payload", "json"}:
                # `**params`, or the table of a raw request.
                fields.update(table or {})
                is_whole &= table is not None
            elif isinstance(value, ast.List):
                rows = [self._table(item, call, folder) for item in value.elts]
                batch += [row for row in rows if row is not None]
            else:
                fields[_field(name)] = _single(folder.texts(value))
        for value in call.node.args[len(names) :]:
            table = self._table(value, call, folder)
            fields.update(table or {})
            is_whole &= table is not None or not isinstance(value, (ast.Name, ast.Starred))
        return fields, is_whole, batch

    def types(self, call: CallSite, method: OrderMethod) -> frozenset[str]:
        """Return the types that a placed order, or one of a batch, may have; empty where none shows."""
        if "type" in method.implies:
            return frozenset({method.implies["type"]})
        names = _POSITIONAL.get(method.library, ())
        placed = itertools.zip_longest(names[: len(call.node.args)], call.node.args)
        return frozenset(
            text.upper()
            for name, value in (*placed, *_keywords(call.node))
            for text in self._type_texts(name, value, call)
        )

    def types_passed(self, call: CallSite) -> frozenset[str]:
        """Return the texts in capitals that may be a type, among what is passed to a helper of the bot."""
        folder = Folder(self._index, call.file, call.function, call.owner)
        values = [*call.node.args, *(word.value for word in call.node.keywords)]
        return frozenset(
            text.upper()
            for value in values
            for text in (*folder.texts(value), *self._type_texts(None, value, call))
        )

    def _type_texts(self, name: str | None, value: ast.expr, call: CallSite) -> list[str]:
        """Return the texts of a field `type`: the argument itself, or in a dict or a list of dicts."""
        folder = Folder(self._index, call.file, call.function, call.owner)
        if name == "type":
            return folder.texts(value)
        rows = value.elts if isinstance(value, ast.List) else [value]
        return [
            text
            for row in rows
            for key, item in self._pairs(row, call) or ()
            if key == "type"
            for text in folder.texts(item)
        ]

    def _table(self, value: ast.expr, call: CallSite, folder: Folder) -> Fields | None:
        """Return the fields of a dict in the source, or of the one that is assigned to a name."""
        pairs = self._pairs(value, call)
        return None if pairs is None else {key: _single(folder.texts(item)) for key, item in pairs}

    def _pairs(self, value: ast.expr, call: CallSite) -> list[tuple[str, ast.expr]] | None:
        """Return the fields of a dict and their values; None where the source does not show the dict."""
        values = [value]
        if isinstance(value, ast.Name):
            values = self._index.values_of(call.file, call.function, call.owner, value.id)
        if len(values) != 1:
            return None
        made = values[0]
        if isinstance(made, ast.Dict):
            return [
                (_field(str(key.value)), item)
                for key, item in zip(made.keys, made.values, strict=True)
                if isinstance(key, ast.Constant)
            ]
        is_dict = isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id == "dict"
        if is_dict and not made.args:  # type: ignore[attr-defined]
            return [(_field(word.arg), word.value) for word in made.keywords if word.arg]  # type: ignore[attr-defined]
        return None


def _keywords(node: ast.Call) -> list[tuple[str | None, ast.expr]]:
    return [(word.arg, word.value) for word in node.keywords]


def _field(name: str) -> str:
    """Return a field's name as Binance spells it; the official SDK writes it with underscores."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _single(texts: list[str]) -> str | None:
    return texts[0] if len(texts) == 1 else None


def _kind(fields: Fields, implies: Mapping[str, str], *, is_whole: bool) -> str | None:
    known = {**{name: text for name, text in fields.items() if text is not None}, **implies}
    unknown = {name for name, text in fields.items() if text is None} - implies.keys()
    if "type" not in known and not ({"closePosition"} & known.keys()):
        return None
    # Their values decide, so an order whose values do not show may be of either kind.
    if unknown & {"type", "closePosition", "reduceOnly"}:
        return None
    order = read_order({**dict.fromkeys(unknown, "?"), **known})
    if order is None:
        return ENTRY if is_whole and not _may_close_in_hedge_mode(fields) else None
    return order.kind


def _may_close_in_hedge_mode(fields: Fields) -> bool:
    return "positionSide" in fields and (fields["positionSide"] is None or fields.get("side") is None)


def _ccxt_kind(method: str, fields: Fields, *, is_whole: bool) -> str | None:
    type_ = (fields.get("type") or "").upper()
    by_field = next((kind for name, kind in _CCXT_KINDS.items() if name in fields), None)
    by_type = next((kind for word, kind in _CCXT_TYPES.items() if word in type_), None)
    by_name = next((kind for word, kind in _CCXT_METHODS.items() if word in method.lower()), None)
    if by_field or by_type or (by_name and "with" not in method.lower()):
        return by_field or by_type or by_name
    if {"reduceOnly", "closePosition"} & fields.keys():
        return {"MARKET": "close", "LIMIT": "tp"}.get(type_)
    return ENTRY if is_whole and type_ in {"MARKET", "LIMIT"} else None
