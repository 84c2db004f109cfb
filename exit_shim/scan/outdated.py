"""The calls that no longer work since 2025-12-09, when conditional orders moved to the Algo Service.

Facts: Binance's change log of 2025-12-09; python-binance sends them there since 1.0.33, ccxt since 4.5.26.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from exit_shim.domain.orders import CONDITIONAL_KINDS
from exit_shim.scan.answers import AnswerReads
from exit_shim.scan.callers import Callers
from exit_shim.scan.code_index import CallSite, CodeIndex, Function
from exit_shim.scan.kinds import Kinds
from exit_shim.scan.leaves import Leaf
from exit_shim.scan.order_methods import CCXT, OFFICIAL_SDK, PYTHON_BINANCE, RAW
from exit_shim.scan.sites import OutdatedCall, OutdatedCode, Site
from exit_shim.scan.source_files import SourceFile

CONDITIONAL: Final = frozenset(CONDITIONAL_KINDS)

LISTS: Final[Mapping[str, str]] = {
    "futures_get_open_orders": PYTHON_BINANCE,
    "futures_coin_get_open_orders": PYTHON_BINANCE,
    "current_all_open_orders": OFFICIAL_SDK,
}
"""The methods that list open orders without the conditional ones, whose names say enough."""

CCXT_LISTS: Final = frozenset({"fetch_open_orders", "fetchOpenOrders", "fapiPrivateGetOpenOrders"})

CANCELS: Final = frozenset(
    {
        *("futures_cancel_all_open_orders", "futures_coin_cancel_all_open_orders", "DELETE allOpenOrders"),
        *("cancel_open_orders", "cancel_all_open_orders", "cancel_all_orders", "cancelAllOrders"),
        "fapiPrivateDeleteAllOpenOrders",
    }
)
"""The doors that cancel the open orders of a symbol, but for the conditional ones."""

OLD_PATHS: Final = frozenset(
    {
        *("POST order", "POST batchOrders", "order.place"),
        *("futures_place_batch_order", "futures_v1_post_batch_order", "futures_coin_place_batch_order"),
        *("new_order", "new_batch_order", "place_multiple_orders"),
        *("fapiPrivatePostOrder", "fapiPrivatePostBatchOrders"),
        *("fapiprivate_post_order", "fapiprivate_post_batchorders"),
    }
)
"""The doors where Binance refuses conditional orders."""

RETIRED: Final = frozenset({"papi_create_um_conditional_order", "POST um/conditional/order"})
"""The doors of conditional orders that answer 404 since 2026-04-28."""

# `conditional=True` is python-binance's, `trigger` or `stop` ccxt's.
_EITHER: Final = r"conditional[\"']?\s*[=:]\s*True|[\"'](?:trigger|stop)[\"']\s*:\s*True"
_LISTED: Final = re.compile(
    rf"{_EITHER}|open_?algo_?orders|all_algo_(?:open_)?orders|allAlgoOrders", re.IGNORECASE
)
_CANCELLED: Final = re.compile(
    rf"{_EITHER}|algo_?open_?orders|cancel_algo_order|deleteAlgoOrder", re.IGNORECASE
)


class OutdatedCalls:
    """Find the calls that the move of conditional orders broke.

    Args:
        index: The index of all files.
        leaves: The places that send.
        called_by: The calls of each function.
        listings: The raw requests that list open orders.
        sources: All files.
    """

    def __init__(
        self,
        index: CodeIndex,
        leaves: Iterable[Leaf],
        called_by: Callers,
        listings: Iterable[CallSite],
        sources: Iterable[SourceFile],
    ) -> None:
        self._index = index
        self._called_by = called_by
        self._listings = list(listings)
        self._texts = [source.text for source in sources]
        self._kinds = Kinds(index)
        leaves = list(leaves)
        #: The calls that show their type themselves.
        self._typed = {id(leaf.call.node) for leaf in leaves if leaf.types or leaf.site.kind is not None}
        self._leaves = [self._with_types(leaf) for leaf in leaves]

    def find_all(self) -> list[OutdatedCall]:
        """Return them by file and line, each once."""
        rows = [*self._misread_answers(), *self._old_paths()]
        if any(is_conditional(leaf) for leaf in self._leaves):
            rows += [*self._lists(), *self._cancels()]
        unique = {(row.file, row.line, row.code): row for row in rows}
        return [unique[key] for key in sorted(unique)]

    def _with_types(self, leaf: Leaf) -> Leaf:
        """Return a leaf with the types that its function names or its callers pass, if it shows none."""
        if leaf.types or leaf.function is None or leaf.site.action != "place":
            return leaf
        calls = self._called_by.get(id(leaf.function), ())
        passed = {text for call in calls for text in self._kinds.types_passed(call)}
        # `if kind == "STOP_MARKET": params["stopPrice"] = …`
        named = {text for node in ast.walk(leaf.function.node) if isinstance(text := _text_of(node), str)}
        return msgspec.structs.replace(leaf, types=CONDITIONAL & (passed | named))

    def _misread_answers(self) -> Iterator[OutdatedCall]:
        conditional = [leaf for leaf in self._leaves if is_conditional(leaf) and _has_algo_answer(leaf)]
        others = [leaf.call.node for leaf in self._leaves if leaf not in conditional]
        for leaf, call, read in AnswerReads(self._called_by, self._passes_conditional, others).find(
            conditional
        ):
            yield _row("ALGO_ID_IGNORED", call, leaf.site, read.lineno)

    def _passes_conditional(self, leaf: Leaf, call: CallSite) -> bool:
        is_fixed = id(leaf.call.node) in self._typed or "algo" in leaf.site.door.lower()
        return is_fixed or bool(self._kinds.types_passed(call) & CONDITIONAL)

    def _old_paths(self) -> Iterator[OutdatedCall]:
        for leaf in self._leaves:
            is_refused = leaf.site.door in OLD_PATHS and leaf.types & CONDITIONAL
            if leaf.site.door in RETIRED or (is_refused and not _knows_algo(leaf.function)):
                yield _row("STOPS_TO_OLD_PATH", leaf.call, leaf.site)

    def _lists(self) -> Iterator[OutdatedCall]:
        if self._mentions(_LISTED):
            return
        uses_ccxt = any(leaf.site.library == CCXT for leaf in self._leaves)
        for file in self._index.files:
            for call in file.calls:
                name = call.node.func.attr if isinstance(call.node.func, ast.Attribute) else ""
                library = CCXT if uses_ccxt and name in CCXT_LISTS else LISTS.get(name)
                if library is not None:
                    yield _row("ALGO_STORE_IGNORED", call, (name, library))
        for call in self._listings:
            yield _row("ALGO_STORE_IGNORED", call, ("GET openOrders", RAW))

    def _cancels(self) -> Iterator[OutdatedCall]:
        cancels = [leaf for leaf in self._leaves if leaf.site.action == "cancel"]
        if self._mentions(_CANCELLED) or any("algo" in leaf.site.door.lower() for leaf in cancels):
            return
        for leaf in cancels:
            if leaf.site.door in CANCELS:
                yield _row("ALGO_STORE_IGNORED", leaf.call, leaf.site)

    def _mentions(self, pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(text) for text in self._texts)


def is_conditional(leaf: Leaf) -> bool:
    """Return whether a place may send an order that waits for a trigger, as far as literals show."""
    return leaf.site.action == "place" and (
        bool(leaf.types & CONDITIONAL)
        or leaf.site.kind in {"sl", "trailing", "breakeven", "conditional"}
        or "algo" in leaf.site.door.lower()
    )


def _has_algo_answer(leaf: Leaf) -> bool:
    """Return whether Binance's own answer comes back from the Algo Service."""
    door = leaf.site.door
    if "algo" in door.lower():
        return leaf.site.library != OFFICIAL_SDK
    return door in {"futures_create_order", "ws_futures_create_order"}


def _knows_algo(function: Function | None) -> bool:
    """Return whether a function names the Algo Service, so that it may choose between the two paths."""
    if function is None:
        return False
    return any(
        "algo" in text.lower() for node in ast.walk(function.node) if isinstance(text := _text_of(node), str)
    )


def _text_of(node: ast.AST) -> object:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _row(
    code: OutdatedCode, call: CallSite, does: Site | tuple[str, str], line: int | None = None
) -> OutdatedCall:
    name, library = (does.door, does.library) if isinstance(does, Site) else does
    return OutdatedCall(
        code=code,
        file=call.file.source.name,
        line=line or call.node.lineno,
        function=call.function.qualname if call.function else "",
        call=name,
        library=library,
    )
