"""Scan a bot's source for the places that send orders."""

from __future__ import annotations

import sys
from pathlib import Path

from exit_shim.scan.callers import calls_by_target, find_callers
from exit_shim.scan.code_index import CodeIndex, index_file
from exit_shim.scan.leaves import LeafFinder
from exit_shim.scan.outdated import OutdatedCalls
from exit_shim.scan.plain_text import find_in_text
from exit_shim.scan.raw_transports import find_raw_reach
from exit_shim.scan.sites import Scan, Site
from exit_shim.scan.source_files import LeftOut, read_settings, read_sources


def scan(root: Path) -> Scan:
    """Return every place below a file or folder that places, changes or cancels a futures order.

    Nothing is run or imported. What cannot be read is left out and named.

    Raises:
        FileNotFoundError: There is nothing at `root`.
    """
    if not root.exists():
        raise FileNotFoundError(f"there is no file or folder {str(root)!r}")
    sources, left_out = read_sources(root)
    unparsed = [source for source in sources if source.tree is None]
    index = CodeIndex(
        [index_file(source) for source in sources if source.tree is not None],
        [*(source.text for source in unparsed), *read_settings(root)],
    )
    raw_reach = find_raw_reach(sources)
    finder = LeafFinder(index, raw_reach)
    leaves, called_by = finder.find_all(), calls_by_target(index)
    callers, reached_from = find_callers(leaves, called_by)
    outdated = OutdatedCalls(index, leaves, called_by, finder.listings, sources)
    in_text = [site for source in unparsed for site in find_in_text(source, raw_reach)]
    return Scan(
        root=str(root),
        files=len(sources),
        lines=sum(source.text.count("\n") + 1 for source in sources if source.text),
        sites=_sorted([*(leaf.site for leaf in leaves), *callers, *in_text]),
        outdated=tuple(outdated.find_all()),
        reached_from=reached_from,
        left_out=tuple(left_out),
        unparsed=tuple(LeftOut(source.name, source.problem or "") for source in unparsed),
        python=".".join(map(str, sys.version_info[:3])),
    )


def _sorted(sites: list[Site]) -> tuple[Site, ...]:
    """Return the sites by file and line, each once."""
    unique = {(site.file, site.line, site.end_line, site.door, site.how == "caller"): site for site in sites}
    return tuple(sorted(unique.values(), key=lambda site: (site.file, site.line, site.end_line, site.door)))
