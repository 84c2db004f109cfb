"""Which places of the source the recorded orders came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Record
from exit_shim.scan.sites import Scan, Site


class Seen(NamedTuple):
    """Say how many orders came from a site; `last_ns` is when the last one did, since the epoch."""

    orders: int
    last_ns: int


class Place(NamedTuple):
    """Name a line that an order came through: the path of its file, the module's dotted name, or both."""

    file: str | None
    module: str | None
    line: int


def count_seen(scan: Scan, records: Iterable[Record]) -> dict[Site, Seen]:
    """Return how often each site was seen, and when last; a site that was never seen is left out.

    An order counts for the site whose call spans the recorded line, for the sites inside the helpers that it
    came through, and for the callers on its way.
    """
    matcher = _Matcher(scan)
    seen: dict[Site, Seen] = {}
    for record in records:
        sites = {site for place in _places_of(record) for site in matcher.find(place)}
        for site in sites:
            former = seen.get(site, Seen(0, 0))
            seen[site] = Seen(former.orders + 1, max(former.last_ns, record.intent.ts))
    return seen


def _places_of(record: Record) -> Iterator[Place]:
    asked = record.intent.attribution
    if asked.line is not None:
        yield Place(asked.file, None if asked.file else asked.dotted_module, asked.line)
    outer = record.outcome.chain if record.outcome is not None else ()
    for step in (*asked.chain, *outer):
        if step.line and step.part != "skipped":
            yield Place(_file_beside(asked, step.module), step.module, step.line)


def _file_beside(asked: Attribution, module: str) -> str | None:
    """Return where a module on the way of an order lies, if it was imported from where the asking one was.

    A step has no file of its own, and copies of a bot have the same names.
    """
    if asked.file is None or asked.dotted_module is None:
        return None
    if module == asked.dotted_module:
        return asked.file
    folder = PurePath(asked.file).parents[asked.dotted_module.count(".")]
    return str(folder / f"{module.replace('.', '/')}.py")


class _Matcher:
    """Find sites by file and line, or by module and line."""

    def __init__(self, scan: Scan) -> None:
        root = Path(scan.root).resolve()
        self._base = root if root.is_dir() else root.parent
        self._by_line: dict[tuple[str, int], list[Site]] = {}
        for site in scan.sites:
            for line in {*range(site.line, site.end_line + 1), *site.also_lines}:
                self._by_line.setdefault((site.file, line), []).append(site)
        self._names = {site.file for site in scan.sites}
        self._files: dict[str, str | None] = {}
        self._modules: dict[str, str | None] = {}

    def find(self, place: Place) -> list[Site]:
        """Return the sites at a place: those of its file, else those of the only module of its name."""
        return self._in_file(place) or self._in_module(place)

    def _in_file(self, place: Place) -> list[Site]:
        if place.file is None:
            return []
        if place.file not in self._files:
            self._files[place.file] = self._name_of_file(place.file)
        return self._by_line.get((self._files[place.file] or "", place.line), [])

    def _in_module(self, place: Place) -> list[Site]:
        if place.module is None:
            return []
        if place.module not in self._modules:
            self._modules[place.module] = self._name_of_module(place.module)
        return self._by_line.get((self._modules[place.module] or "", place.line), [])

    def _name_of_file(self, file: str) -> str | None:
        """Return the scanned file that a recorded path is; another copy on this machine is another file."""
        path = Path(file)
        if path.is_relative_to(self._base) or path.exists():
            real = path.resolve()
            return real.relative_to(self._base).as_posix() if real.is_relative_to(self._base) else None
        # The bot ran on another machine: the longest common end decides.
        return _only([name for name in self._names if _ends_with(file, name)])

    def _name_of_module(self, dotted: str) -> str | None:
        path = dotted.replace(".", "/")
        ends = (f"{path}.py", f"{path}/__init__.py")
        return _only([name for name in self._names if any(_ends_with(name, end) for end in ends)])


def _ends_with(path: str, end: str) -> bool:
    parts, last = PurePath(path.replace("\\", "/")).parts, PurePath(end).parts
    return parts[-len(last) :] == last


def _only(names: list[str]) -> str | None:
    """Return the longest of these names, None where two are as long."""
    longest = max(map(_depth, names), default=0)
    deepest = [name for name in names if _depth(name) == longest]
    return deepest[0] if len(deepest) == 1 else None


def _depth(name: str) -> int:
    return len(PurePath(name).parts)
