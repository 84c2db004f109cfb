"""Which modules of the bot place exits, and which only send what others decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePath

import msgspec

from exit_shim.scan.sites import Scan, Site


class SourceModule(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a module that has exit orders sent.

    Attributes:
        name: Its short name, as records have it.
        places: How many calls in it place exits, or orders whose purpose does not show.
        kinds: What they are for, where literals show it.
        callers: The modules that send through it, if it is a helper: it is handed the method, or sends what
            its callers pass, and only other modules call it. Empty for all others.
    """

    name: str
    places: int
    kinds: frozenset[str]
    callers: tuple[str, ...] = ()


def find_modules(found: Scan) -> list[SourceModule]:
    """Return the modules that place exits and the helpers that they send through, by name."""
    placing = [site for site in found.sites if site.action == "place" and site.is_recorded]
    helpers = {
        file: names for file in {site.file for site in placing} if (names := _callers_of(file, placing))
    }
    by_file: dict[str, list[Site]] = defaultdict(list)
    for site in placing:
        # A call within a file leads to a place that is counted already.
        if site.is_leaf or (site.through_file in helpers and site.through_file != site.file):
            by_file[site.file].append(site)
    return sorted(
        (
            SourceModule(
                name=module_name(file),
                places=len(sites),
                kinds=frozenset(site.kind for site in sites if site.kind is not None),
                callers=helpers.get(file, ()),
            )
            for file, sites in by_file.items()
        ),
        key=lambda module: module.name,
    )


def module_name(file: str) -> str:
    """Return the short name of the module that a file is."""
    path = PurePath(file)
    return path.parent.name if path.stem in {"__init__", "__main__"} and path.parent.name else path.stem


def _callers_of(file: str, placing: Iterable[Site]) -> tuple[str, ...]:
    """Return the modules that call a helper's functions; empty where the file is none."""
    own = [site for site in placing if site.file == file and site.is_leaf]
    if not own or not all(site.function and site.kind is None for site in own):
        return ()
    calls = [site for site in placing if site.through_file == file]
    calls += [site for site in placing if site.is_leaf and site.through in {each.function for each in own}]
    callers = {site.file for site in calls if site not in own}
    reached = {site.through for site in calls}
    is_helper = file not in callers and all(site.function in reached for site in own)
    return tuple(sorted({module_name(name) for name in callers})) if is_helper else ()
