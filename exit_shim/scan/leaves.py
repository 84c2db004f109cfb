"""The places that send an order themselves."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import msgspec

from exit_shim.scan.code_index import CallSite, CodeIndex, Function, dotted_name
from exit_shim.scan.constants import Folder
from exit_shim.scan.elsewhere import Elsewhere, names_other_exchange
from exit_shim.scan.kinds import Kinds
from exit_shim.scan.libraries import Libraries
from exit_shim.scan.order_methods import (
    CCXT,
    CCXT_FIELDS,
    CONNECTOR,
    METHODS,
    OFFICIAL_SDK,
    OTHER_RAW_DOORS,
    OTHERS,
    PYTHON_BINANCE,
    RAW_DOORS,
    VERBS,
    OrderMethod,
    find_raw,
    find_websocket,
    has_order_path,
    lists_open_orders,
)
from exit_shim.scan.resolve_calls import resolve_call
from exit_shim.scan.sites import How, Reach, Site

NOT_CALLERS: Final = frozenset(
    {
        *("hasattr", "callable", "iscoroutinefunction", "signature", "print", "debug", "info", "warning"),
        *("warn", "error", "exception", "critical", "log"),
        *("append", "add", "startswith", "endswith", "index", "count", "patch", "object", "isinstance"),
        *("getattr", "setattr", "delattr", "get", "pop", "setdefault", "write", "join", "format"),
    }
)
"""Functions that take the name of a method as mere text."""

FETCHERS: Final = frozenset({"getattr", "attrgetter", "methodcaller"})
"""Functions that fetch a method by its name."""

MOST_FETCHERS: Final = 2
"""How many helpers are followed, one behind the other, to the one that fetches."""

SPOT_REQUESTS: Final = frozenset({"_ws_api_request", "_ws_api_request_sync", "_request_margin_api"})
"""Methods of python-binance that send what is not about futures, under the same names."""

NOT_SENDERS: Final = frozenset(
    {
        *("log", "route", "weight", "throttle", "acquire", "limiter", "mock", "assert", "expect"),
        *("respx", "responses", "httpretty", "aioresponses", "logger", "app", "router", "metrics"),
    }
)
"""Words in the names of functions, and of their objects, that take a verb and a path without sending."""


class Leaf(msgspec.Struct, frozen=True):
    """Hold a site that sends, with its call and the types that its order may have.

    `is_helper` tells that the function around it gets the method from its callers.
    """

    site: Site
    call: CallSite
    types: frozenset[str] = frozenset()
    is_helper: bool = False

    @property
    def function(self) -> Function | None:
        """Return the function around it."""
        return self.call.function


class LeafFinder:
    """Find the calls that send orders.

    Args:
        index: The index of all files.
        raw_reach: What the shim needs to see the raw requests of this bot.
    """

    def __init__(self, index: CodeIndex, raw_reach: Reach) -> None:
        self._index = index
        self._raw_reach = raw_reach
        self._libraries = Libraries(index)
        self._elsewhere = Elsewhere(index)
        self._kinds = Kinds(index)
        self._calls_in: dict[int, list[CallSite]] = defaultdict(list)
        for file in index.files:
            for call in file.calls:
                self._calls_in[id(call.function)].append(call)
        #: The raw requests that list open orders.
        self.listings: list[CallSite] = []
        #: The parameters that are given methods that send: function, name, and the methods.
        self._given: dict[tuple[int, str], dict[str, OrderMethod]] = defaultdict(dict)

    def find_all(self) -> list[Leaf]:
        """Return every place that sends, file by file, in the order of the source."""
        calls = [call for file in self._index.files for call in file.calls]
        leaves = [leaf for call in calls for leaf in self._find(call)]
        # Only now it is known which parameters are given methods.
        leaves += [leaf for call in calls if self._given for leaf in self._find_in_helper(call)]
        return leaves

    def _find(self, call: CallSite) -> Iterator[Leaf]:
        function = call.node.func
        method, how, lines = self._method_of(function, call)
        if method is not None:
            yield self._leaf(call, method, how, also_lines=lines)
            return
        yield from self._find_handed_over(call)
        raw = self._find_raw(call)
        if raw is not None:
            yield raw

    # A method that is called

    def _method_of(self, node: ast.expr, call: CallSite) -> tuple[OrderMethod | None, How, tuple[int, ...]]:
        """Return the order method that an expression stands for, and how it gets to it."""
        if isinstance(node, ast.Attribute):
            method = self._method_named(node, call)
            if method is not None:
                return method, "direct", ()
            if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"} and call.owner:
                return self._alias(call.owner.names.get(node.attr, []), call)
        elif isinstance(node, ast.Name):
            values = self._index.values_of(call.file, call.function, call.owner, node.id)
            return self._alias(values, call)
        elif isinstance(node, ast.IfExp):
            # (client.new_algo_order if is_stop else client.new_order)(…)
            found = self._method_of(node.body, call)
            return found if found[0] is not None else self._method_of(node.orelse, call)
        elif isinstance(node, ast.Call):
            named = self._named_by_text(node, call)
            if named is not None:
                return named, "string", ()
        return None, "direct", ()

    def _method_named(self, node: ast.Attribute, call: CallSite) -> OrderMethod | None:
        """Return the order method that an attribute of a client is."""
        if node.attr in METHODS:
            return METHODS[node.attr]
        if not any(node.attr in table for table in OTHERS.values()):
            return None
        library = self._libraries.find(node.value, call, node.attr)
        if library == CCXT and not self._may_be_futures_of_ccxt(node, call):
            return None
        return OTHERS.get(library or "", {}).get(node.attr)

    def _may_be_futures_of_ccxt(self, node: ast.Attribute, call: CallSite) -> bool:
        keywords = {word.arg for word in call.node.keywords if word.arg} if node is call.node.func else set()
        return self._elsewhere.trades_futures and not names_other_exchange(call) and keywords <= CCXT_FIELDS

    def _alias(
        self, values: list[ast.expr], call: CallSite
    ) -> tuple[OrderMethod | None, How, tuple[int, ...]]:
        for value in values:
            method = self._method_named(value, call) if isinstance(value, ast.Attribute) else None
            if method is not None:
                return method, "bound", tuple(range(value.lineno, (value.end_lineno or 0) + 1))
            named = self._named_by_text(value, call) if isinstance(value, ast.Call) else None
            if named is not None:
                return named, "string", (value.lineno,)
        return None, "direct", ()

    def _named_by_text(self, node: ast.Call, call: CallSite) -> OrderMethod | None:
        """Return the method that `getattr(client, "name")` fetches."""
        if not (isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1):
            return None
        texts = self._folder(call).texts(node.args[1])
        return next((METHODS[text] for text in texts if text in METHODS), None)

    # A method that is handed to somebody

    def _find_handed_over(self, call: CallSite) -> Iterator[Leaf]:
        name = _last_name(call.node.func)
        if name in NOT_CALLERS:
            return
        arguments = [*call.node.args, *(word.value for word in call.node.keywords)]
        for place, value in enumerate(arguments):
            method: OrderMethod | None = None
            how: How = "bound"
            lines: tuple[int, ...] = ()
            if isinstance(value, ast.Attribute):
                method = self._method_named(value, call)
            elif isinstance(value, ast.Call):
                method, how = self._named_by_text(value, call), "string"
            elif isinstance(value, ast.Name):
                values = self._index.values_of(call.file, call.function, call.owner, value.id)
                method, how, lines = self._alias(values, call)
            # Behind the client, if that comes first.
            if method is None and place < 2:  # noqa: PLR2004
                method, how = self._method_by_text(value, call), "string"
            if method is None:
                continue
            self._remember(call, place, method)
            yield self._leaf(call, method, how, through=name, also_lines=lines)
            return

    def _method_by_text(self, value: ast.expr, call: CallSite) -> OrderMethod | None:
        if not isinstance(value, (ast.Constant, ast.Name, ast.Attribute)):
            return None
        texts = self._folder(call).texts(value)
        method = next((METHODS[text] for text in texts if text in METHODS), None)
        return method if method is not None and self._may_fetch(call) else None

    def _may_fetch(self, call: CallSite) -> bool:
        """Return whether a function may fetch the method that it gets by name, and has fields for it.

        Rate limiters and logs take such names too.
        """
        helpers = resolve_call(self._index, call)
        has_fields = bool(call.node.keywords) or len(call.node.args) > 1
        return has_fields and (not helpers or any(self._fetches(each) for each in helpers))

    def _fetches(self, helper: Function, depth: int = 0) -> bool:
        """Return whether a function fetches by name, or hands on to one that does."""
        calls = self._calls_in[id(helper)]
        return any(_last_name(call.node.func) in FETCHERS for call in calls) or (
            depth < MOST_FETCHERS
            and any(
                self._fetches(each, depth + 1)
                for call in calls
                for each in resolve_call(self._index, call)
                if each is not helper
            )
        )

    def _remember(self, call: CallSite, place: int, method: OrderMethod) -> None:
        positional = len(call.node.args)
        keyword = call.node.keywords[place - positional].arg if place >= positional else None
        for helper in resolve_call(self._index, call):
            names = helper.parameters
            name = keyword or (names[place] if place < len(names) else None)
            if name is not None:
                self._given[id(helper), name][method.name] = method

    def _find_in_helper(self, call: CallSite) -> Iterator[Leaf]:
        """Find the call of a parameter that is given a method, inside the helper."""
        function = call.node.func
        helper = call.function
        while isinstance(function, ast.Name) and helper is not None:
            given = self._given.get((id(helper), function.id))
            if given:
                method = next(iter(given.values()))
                leaf = self._leaf(call, method, "bound", through=helper.qualname)
                yield msgspec.structs.replace(leaf, is_helper=True)
                return
            helper = helper.outer

    # A raw request

    def _find_raw(self, call: CallSite) -> Leaf | None:
        name = _last_name(call.node.func)
        if name in SPOT_REQUESTS or _only_names_a_path(call.node.func):
            return None
        values = [*call.node.args, *(word.value for word in call.node.keywords)]
        folder = self._folder(call)
        texts = [text for value in values for text in (*folder.texts(value), *folder.items(value))]
        if name in RAW_DOORS:
            return self._find_raw_door(call, texts)
        method = next((row for text in texts if (row := find_websocket(text))), None)
        method = method or self._websocket_table(call, values, folder)
        if method is not None and self._elsewhere.is_message_of_others(call):
            method = None
        words = re.findall("[A-Z]?[a-z]+", name)
        verbs = [word.lower() for word in words if word.lower() in VERBS]
        paths = [text for text in texts if has_order_path(text)]
        if verbs and not paths and self._elsewhere.is_short_path_of_futures(call):
            # `signed_post("order", …)`, where the helper knows the address.
            paths = [text for text in texts if not text.startswith("/")]
        if method is None and any(lists_open_orders(path) for path in paths):
            self.listings.append(call)
        if method is None and paths:
            # `WEIGHTS.get(("POST", path))` sends nothing, and `requests.get(path)` no order.
            named = [text.lower() for text in texts if text.lower() in VERBS] if name != "get" else []
            verbs = verbs or named
            method = next((row for verb in verbs for path in paths if (row := find_raw(verb, path))), None)
        if method is None or self._elsewhere.is_other_exchange(call):
            return None
        return self._leaf(call, self._with_library(method, call), "raw", through=name)

    def _with_library(self, method: OrderMethod, call: CallSite) -> OrderMethod:
        """Return a raw method with the library that sends it, where that is Binance's connector or SDK."""
        function = call.node.func
        if not (isinstance(function, ast.Attribute) and function.attr in OTHER_RAW_DOORS):
            return method
        library = self._libraries.find(function.value, call, function.attr)
        return (
            method._replace(library=library, reach="wrap") if library in (CONNECTOR, OFFICIAL_SDK) else method
        )

    def _find_raw_door(self, call: CallSite, texts: list[str]) -> Leaf | None:
        verbs = [text for text in texts if text.lower() in VERBS]
        found = next((row for verb in verbs for text in texts if (row := find_raw(verb, text))), None)
        found = found or next((row for text in texts if (row := find_websocket(text))), None)
        if found is None:
            return None
        own = found._replace(library=PYTHON_BINANCE, reach="wrap")
        return self._leaf(call, own, "raw", through=_last_name(call.node.func))

    def _websocket_table(self, call: CallSite, values: list[ast.expr], folder: Folder) -> OrderMethod | None:
        """Return the method of a WebSocket request that is passed as a dict."""
        for value in values:
            tables = [value]
            if isinstance(value, ast.Name):
                tables = self._index.values_of(call.file, call.function, call.owner, value.id)
            for table in tables:
                for key, item in (
                    zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else ()
                ):
                    if isinstance(key, ast.Constant) and key.value == "method":
                        return next(
                            (row for text in folder.texts(item) if (row := find_websocket(text))), None
                        )
        return None

    # What they have in common

    def _folder(self, call: CallSite) -> Folder:
        return Folder(self._index, call.file, call.function, call.owner)

    def _leaf(
        self,
        call: CallSite,
        method: OrderMethod,
        how: How,
        *,
        through: str | None = None,
        also_lines: tuple[int, ...] = (),
    ) -> Leaf:
        node = call.node
        site = Site(
            file=call.file.source.name,
            line=node.lineno,
            end_line=node.end_lineno or node.lineno,
            function=call.function.qualname if call.function else "",
            door=method.name,
            action=method.action,
            kind=self._kinds.find(call, method),
            how=how,
            through=through,
            library=method.library,
            reach=self._reach(call, method),
            also_lines=also_lines,
        )
        return Leaf(site, call, self._kinds.types(call, method) if site.action == "place" else frozenset())

    def _reach(self, call: CallSite, method: OrderMethod) -> Reach:
        """Return what the shim needs.

        A proxy does not see what a client of python-binance calls on itself. For the libraries that call
        themselves `wrap` makes a class with the doors.
        """
        if method.reach == "raw":
            return self._raw_reach
        function = call.node.func
        is_own = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
        calls_itself = is_own and function.value.id in {"self", "cls"}  # type: ignore[attr-defined]
        if method.library == PYTHON_BINANCE and calls_itself and call.owner is not None:
            return "install" if self._libraries.of_owner(call.owner) else "wrap"
        return method.reach


def _only_names_a_path(function: ast.expr) -> bool:
    """Return whether a function with a verb and a path sends nothing: a log, a limiter, a fake, a class."""
    names = (dotted_name(function) or _last_name(function)).split(".")[-2:]
    words = {word.lower() for name in names for word in re.findall("[A-Z]?[a-z]+", name)}
    is_class = names[-1].lstrip("_")[:1].isupper() and not names[-1].endswith("Request")
    return is_class or names[-1] in NOT_CALLERS - {"get"} or bool(words & NOT_SENDERS)


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
