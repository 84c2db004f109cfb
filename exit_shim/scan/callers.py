"""Who calls the functions that send: one level up as sites, further up as names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from exit_shim.scan.code_index import CallSite, CodeIndex, Function
from exit_shim.scan.kinds import ENTRY
from exit_shim.scan.leaves import Leaf
from exit_shim.scan.resolve_calls import resolve_call
from exit_shim.scan.sites import Site

MOST_LEVELS: Final = 5
"""How far up is looked."""


Callers = Mapping[int, list[CallSite]]
"""The calls of each function of the bot, by the function's identity."""


def find_callers(leaves: Iterable[Leaf], called_by: Callers) -> tuple[list[Site], dict[str, tuple[str, ...]]]:
    """Return the calls of functions that send, and who reaches these functions from further up.

    Callers of a helper that gets the method are left out: each of them hands one in, and is a site itself.
    """
    sending: dict[int, tuple[Function, Site]] = {}
    for leaf in leaves:
        function = leaf.function
        if function is not None and not leaf.is_helper:
            former = sending.get(id(function))
            sending[id(function)] = function, leaf.site if former is None else _stronger(former[1], leaf.site)
    leaf_places = {(leaf.site.file, leaf.site.line) for leaf in leaves}
    sites = [
        _caller_site(call, target, site)
        for target, site in sending.values()
        for call in called_by.get(id(target), ())
        if call.function is not target and (call.file.source.name, call.node.lineno) not in leaf_places
    ]
    return sites, {
        target.qualname: names
        for target, _ in sending.values()
        if (names := _reached_from(target, called_by))
    }


def _stronger(first: Site, second: Site) -> Site:
    """Return the site that says more: what places before what cancels, exits before entries."""
    return max(first, second, key=lambda site: (site.action == "place", site.kind != ENTRY))


def calls_by_target(index: CodeIndex) -> Callers:
    """Return the calls of each function of the bot, as far as the source shows whom they mean."""
    called_by: dict[int, list[CallSite]] = defaultdict(list)
    for file in index.files:
        for call in file.calls:
            for target in resolve_call(index, call):
                called_by[id(target)].append(call)
    return called_by


def _caller_site(call: CallSite, target: Function, leaf: Site) -> Site:
    node = call.node
    return msgspec.structs.replace(
        leaf,
        file=call.file.source.name,
        line=node.lineno,
        end_line=node.end_lineno or node.lineno,
        function=call.function.qualname if call.function else "",
        kind=leaf.kind if leaf.kind == ENTRY else None,
        how="caller",
        through=target.qualname,
        through_file=target.file.source.name,
        also_lines=(),
    )


def _reached_from(target: Function, called_by: Callers) -> tuple[str, ...]:
    """Return the functions two levels up and further, nearest first."""
    level = {id(call.function): call.function for call in called_by.get(id(target), ()) if call.function}
    seen, names = {id(target), *level}, list[str]()
    for _ in range(MOST_LEVELS):
        above: dict[int, Function] = {}
        for function in level.values():
            for call in called_by.get(id(function), ()):
                if call.function is not None and id(call.function) not in seen:
                    above[id(call.function)] = call.function
        seen |= above.keys()
        names += [f"{each.file.source.name}: {each.qualname}" for each in above.values()]
        level = above
    return tuple(dict.fromkeys(names))
