"""Which functions of the bot a call may mean."""

from __future__ import annotations

import ast
from typing import Final

from exit_shim.scan.code_index import CallSite, CodeIndex, Function, dotted_name

GENERIC: Final = frozenset(
    {
        *("execute", "submit", "get", "send", "call", "run", "request", "post", "put", "delete", "start"),
        *("stop", "close", "open", "update", "process", "handle", "main", "loop", "check", "apply", "add"),
        *("remove", "set", "create", "cancel", "place", "publish", "emit", "tick", "step", "sync", "load"),
        *("save", "read", "write", "connect", "subscribe", "reset", "clear", "init", "setup", "join"),
    }
)
"""Method names that say nothing without knowing whose they are."""


def resolve_call(index: CodeIndex, call: CallSite) -> list[Function]:
    """Return the functions of the bot that a call may mean; empty for those of others."""
    function = call.node.func
    if isinstance(function, ast.Name):
        return _by_name(index, call, function.id)
    if not isinstance(function, ast.Attribute):
        return []
    receiver = function.value
    if isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Name) and receiver.func.id == "super":
        return _in_bases(index, call, function.attr)
    base = dotted_name(receiver)
    if base in {"self", "cls"} and call.owner is not None:
        return index.find_in_class(call.owner, function.attr)
    by_type = _by_type(index, call, base, function.attr)
    if by_type is not None:
        return by_type
    return [] if function.attr in GENERIC else index.find_methods(function.attr)


def _by_name(index: CodeIndex, call: CallSite, name: str) -> list[Function]:
    scope = call.function
    while scope is not None:
        if name in scope.parameters or name in scope.names:
            return []
        inner = call.file.find_function(f"{scope.qualname}.{name}")
        if inner is not None:
            return [inner]
        scope = scope.outer
    own = call.file.find_function(name)
    if own is not None:
        return [own]
    dotted = call.file.imports.get(name)
    module = index.find_home(dotted, "by_qualname")
    imported = module.find_function(dotted.rpartition(".")[2]) if module and dotted else None
    return [] if imported is None else [imported]


def _in_bases(index: CodeIndex, call: CallSite, name: str) -> list[Function]:
    for base in call.owner.bases if call.owner is not None else ():
        owner = index.find_class(call.file, base)
        if owner is not None:
            return index.find_in_class(owner, name)
    return []


def _by_type(index: CodeIndex, call: CallSite, base: str | None, name: str) -> list[Function] | None:
    """Return the methods of the receiver's class, or the function of a module; None where neither shows."""
    if base is None:
        return None
    dotted = index.resolve(call.file, base)
    module = index.find_module(dotted) if dotted else None
    if module is not None:
        home = module if name in module.by_qualname else index.find_home(f"{dotted}.{name}", "by_qualname")
        found = home.find_function(name) if home is not None else None
        return [found] if found is not None else []
    # A module of somebody else: requests.post, asyncio.run.
    if dotted is not None and base in call.file.imports and index.find_class(call.file, base) is None:
        return [] if base[:1].islower() and not _may_be_object(index, dotted) else None
    class_name = class_of(index, call, base)
    if class_name is None:
        return None
    owner = index.find_class(call.file, class_name)
    return index.find_in_class(owner, name) if owner is not None else None


def _may_be_object(index: CodeIndex, dotted: str) -> bool:
    """Return whether an imported name is a variable of one of the bot's own modules."""
    return index.find_module(dotted.rpartition(".")[0]) is not None


def class_of(index: CodeIndex, call: CallSite, base: str) -> str | None:
    """Return the bot's class of the object that a dotted name stands for; None where nothing shows it."""
    first, _, rest = base.partition(".")
    if first in {"self", "cls"} and rest and call.owner is not None:
        names, annotations, key = call.owner.names, call.owner.annotations, rest
    elif call.function is not None and (first in call.function.names or first in call.function.annotations):
        names, annotations, key = call.function.names, call.function.annotations, first
    else:
        names, annotations, key = call.file.names, call.file.annotations, first
    if rest and first not in {"self", "cls"}:
        return None
    if key in annotations:
        return annotations[key]
    for value in names.get(key, ()):
        made = value.value if isinstance(value, ast.Await) else value
        name = dotted_name(made.func) if isinstance(made, ast.Call) else None
        if name is not None and index.find_class(call.file, name) is not None:
            return name
    # Cls.method(…)
    return base if index.find_class(call.file, base) is not None else None
