"""Which client library the object before a method's dot belongs to, as far as the source shows it."""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import Final

from exit_shim.clients.ccxt import EXCHANGES
from exit_shim.scan.code_index import CallSite, Class, CodeIndex, FileIndex, Function, dotted_name
from exit_shim.scan.order_methods import (
    CCXT,
    CLIENT_CLASSES,
    ELSEWHERE,
    IMPORTED_PACKAGES,
    OFFICIAL_SDK,
    PYTHON_BINANCE,
)
from exit_shim.scan.resolve_calls import class_of

CCXT_BINANCE: Final = {*EXCHANGES, "Exchange"}
"""The classes of ccxt that are a client of Binance's, or may be."""

CLIENT_NAMES: Final = frozenset({"client", "api", "ccxt", "ex", "exchange", "ccxt_exchange", "ccxt_client"})
"""The names that bots give to clients."""


class Libraries:
    """Tell the library of an expression by what is assigned to its name, its annotation, and imports.

    Args:
        index: The index of all files.
    """

    def __init__(self, index: CodeIndex) -> None:
        self._index = index
        self._of_file = {id(file): _imported(file) for file in index.files}
        self._uses_sdk = any(OFFICIAL_SDK in libraries for libraries in self._of_file.values())
        self._fetched = {id(file): _fetched_names(file) for file in index.files}
        self._by_name = self._collect_names()

    def find(self, receiver: ast.expr, call: CallSite, method: str) -> str | None:
        """Return the library of the object that a method is of; None where nothing shows it.

        Args:
            receiver: The expression before the method's dot.
            call: The call that the method is called in, or handed to.
            method: The method's name.
        """
        name = dotted_name(receiver) or ""
        if name.endswith("rest_api") and self._uses_sdk:
            return OFFICIAL_SDK
        if isinstance(receiver, ast.Call):
            is_super = isinstance(receiver.func, ast.Name) and receiver.func.id == "super"
            if is_super and call.owner is not None:
                return self.of_owner(call.owner)
            return self.of_value(call.file, receiver)
        # A name may hold a client, or something of the bot's that stands in for one.
        nearest = _only_one(self._nearest(receiver, call))
        is_own = nearest is None and self._is_own_method(name, call, method)
        return None if is_own else nearest or self._of_name(name, call, method)

    def _of_name(self, name: str, call: CallSite, method: str) -> str | None:
        annotated = self._annotation(name, call)
        if annotated is not None:
            return self._of_class(call.file, annotated)
        # What another file's name holds rules nothing out.
        known = self._by_name.get(name.rpartition(".")[2], set()) - {ELSEWHERE}
        named = _only_one(known)
        if named is not None:
            # Another file's client of that name; where the bot has the method too, this may be its own.
            is_guess = bool(self._index.find_methods(method)) and named not in self._of_file[id(call.file)]
            return None if is_guess else named
        if name in {"self", "cls"} and call.owner is not None:
            return self.of_owner(call.owner)
        return None if known else self._of_import(name, call, method)

    def _is_own_method(self, name: str, call: CallSite, method: str) -> bool:
        """Return whether the object is of a class of the bot that has the method itself."""
        named = (
            call.owner.name if name in {"self", "cls"} and call.owner else class_of(self._index, call, name)
        )
        owner = self._index.find_class(call.file, named) if named else None
        return owner is not None and bool(self._index.find_in_class(owner, method))

    def _nearest(self, receiver: ast.expr, call: CallSite) -> set[str]:
        """Return the libraries of what is assigned to the name in the function, its class or its file."""
        values: list[ast.expr] = []
        if isinstance(receiver, ast.Name):
            values = self._index.values_of(call.file, call.function, call.owner, receiver.id)
        elif isinstance(receiver, ast.Attribute) and dotted_name(receiver.value) in {"self", "cls"}:
            values = next(
                (each.names[receiver.attr] for each in self._line(call.owner) if receiver.attr in each.names),
                [],
            )
        return {library for value in values if (library := self.of_value(call.file, value)) is not None}

    def _of_import(self, name: str, call: CallSite, method: str) -> str | None:
        """Return the library that the file imports; None where the object may be the bot's own.

        Of several imported libraries none is more likely than the others.
        """
        imported = self._of_file[id(call.file)]
        if len(imported) != 1 or not self._may_be_client(name, call, method):
            return None
        return next(iter(imported))

    def _may_be_client(self, name: str, call: CallSite, method: str) -> bool:
        """Return whether an object may be a client, though the bot may have methods of this name.

        A method that calls one of its own name hands on, to a client or to the next layer of the bot.
        """
        of_others = [each for each in self._index.find_methods(method) if each.owner is not call.owner]
        is_wrapper = call.function is not None and call.function.name == method
        has_own = bool(self._index.find_methods(method))
        is_client_by_name = name.rpartition(".")[2].strip("_") in CLIENT_NAMES
        return not has_own or (is_wrapper and (is_client_by_name or not of_others))

    def of_owner(self, owner: Class) -> str | None:
        """Return the library whose client a class or one of its bases inherits from."""
        bases = ((each.file, base) for each in self._line(owner) for base in each.bases)
        return next((library for file, base in bases if (library := self._of_class(file, base))), None)

    def _line(self, owner: Class | None) -> list[Class]:
        """Return a class and those of the bot that it inherits from, nearest first."""
        line = [owner] if owner is not None else []
        for each in line:
            above = (self._index.find_class(each.file, base) for base in each.bases)
            line += [base for base in above if base is not None and base not in line]
        return line

    def of_value(self, file: FileIndex, value: ast.expr) -> str | None:
        """Return the library whose client an expression makes: `Client(…)`, `await AsyncClient.create(…)`."""
        while isinstance(value, ast.Await):
            value = value.value
        if isinstance(value, ast.Attribute) and value.attr == "rest_api":
            return OFFICIAL_SDK if self._uses_sdk else None
        if not isinstance(value, ast.Call):
            return None
        if _is_for_spot(value):
            return ELSEWHERE
        name = dotted_name(value.func)
        if name is None:
            # getattr(ccxt, exchange_id)(…)
            return _fetched_class(file, value.func)
        fetched = self._fetched[id(file)].get(name)
        return fetched or self._of_class(file, name.removesuffix(".create")) or self._of_maker(file, name)

    def _of_maker(self, file: FileIndex, name: str) -> str | None:
        """Return the library of the client that a function of the bot makes, by what it returns."""
        home = file if name in file.by_qualname else None
        home = home or self._index.find_home(self._index.resolve(file, name), "by_qualname")
        maker = home.by_qualname.get(name.rpartition(".")[2]) if home is not None else None
        if maker is None or home is None or isinstance(maker.node, ast.Lambda):
            return None
        annotation = maker.node.returns
        if annotation is not None and (made := dotted_name(annotation)):
            return self._of_class(home, made)
        returned = [node.value for node in ast.walk(maker.node) if isinstance(node, ast.Return)]
        values = [
            value
            for each in returned
            for value in (maker.names.get(each.id, []) if isinstance(each, ast.Name) else [each])
        ]
        classes = (dotted_name(value.func) for value in values if isinstance(value, ast.Call))
        return next((library for each in classes if each and (library := self._of_class(home, each))), None)

    def _of_class(self, file: FileIndex, name: str) -> str | None:
        dotted = self._index.resolve(file, name) or name
        if dotted.split(".")[0] == "ccxt":
            exchange = dotted.rpartition(".")[2]
            return CCXT if exchange in CCXT_BINANCE else ELSEWHERE
        library = CLIENT_CLASSES.get(dotted.rpartition(".")[2])
        # A class of that name that the bot defines is its own.
        return None if library == PYTHON_BINANCE and self._index.find_class(file, name) else library

    def _annotation(self, name: str, call: CallSite) -> str | None:
        first, _, rest = name.partition(".")
        if first in {"self", "cls"} and rest:
            annotated = (
                each.annotations[rest] for each in self._line(call.owner) if rest in each.annotations
            )
            return next(annotated, None)
        function = call.function
        while function is not None:
            if first in function.annotations and not rest:
                return function.annotations[first]
            function = function.outer
        return call.file.annotations.get(name)

    def _collect_names(self) -> dict[str, set[str]]:
        names: dict[str, set[str]] = defaultdict(set)
        for file in self._index.files:
            scopes: list[FileIndex | Function | Class] = [file, *file.functions, *file.classes.values()]
            for scope in scopes:
                for name, values in scope.names.items():
                    for value in values:
                        library = self.of_value(file, value)
                        if library is not None:
                            names[name].add(library)
        return names


def _only_one(libraries: set[str]) -> str | None:
    """Return the library, if it is one; a name that holds Binance's client and others counts as Binance's."""
    libraries = libraries - {ELSEWHERE} or libraries
    return next(iter(libraries)) if len(libraries) == 1 else None


def _fetched_class(file: FileIndex, node: ast.expr) -> str | None:
    """Return the library of `getattr(ccxt, exchange_id)`."""
    is_getattr = isinstance(node, ast.Call) and dotted_name(node.func) == "getattr" and bool(node.args)
    module = dotted_name(node.args[0]) if is_getattr else None  # type: ignore[attr-defined]
    first = (module or "").split(".")[0]
    if file.imports.get(first, first).split(".")[0] != "ccxt":
        return None
    exchange = node.args[1] if len(node.args) > 1 else None  # type: ignore[attr-defined]
    is_other = isinstance(exchange, ast.Constant) and exchange.value not in CCXT_BINANCE
    return ELSEWHERE if is_other else CCXT


def _fetched_names(file: FileIndex) -> dict[str, str]:
    """Return the names of `exchange_class = getattr(ccxt, exchange_id)` in a file, with their libraries."""
    scopes: list[FileIndex | Function] = [file, *file.functions]
    return {
        name: library
        for scope in scopes
        for name, values in scope.names.items()
        for value in values
        if (library := _fetched_class(file, value)) is not None
    }


def _is_for_spot(made: ast.Call) -> bool:
    """Return whether a client is made for spot: `ccxt.binance({"options": {"defaultType": "spot"}})`."""
    return any(
        isinstance(key, ast.Constant) and key.value == "defaultType" and _is_spot(item)
        for value in (*made.args, *(word.value for word in made.keywords))
        for table in ast.walk(value)
        if isinstance(table, ast.Dict)
        for key, item in zip(table.keys, table.values, strict=True)
    )


def _is_spot(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in {"spot", "margin"}


def _imported(file: FileIndex) -> set[str]:
    """Return the libraries other than python-binance that a file imports."""
    return {
        library
        for package, library in IMPORTED_PACKAGES.items()
        if any(name == package or name.startswith(f"{package}.") for name in file.packages)
    }
