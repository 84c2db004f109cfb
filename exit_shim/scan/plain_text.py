"""The lines of a file that does not parse which name a method or path of an order."""

from __future__ import annotations

import re
from typing import Final

from exit_shim.scan.order_methods import METHODS, VERBS, OrderMethod, find_raw
from exit_shim.scan.sites import Reach, Site
from exit_shim.scan.source_files import SourceFile

_CALL: Final = re.compile(r"\.\s*(\w+)\s*\(")
_TEXT: Final = re.compile(r"""["']([^"']*/[fdp]api/v\d+/[A-Za-z/]+)""")
_VERB: Final = re.compile(r"\b(post|put|delete)\b", re.IGNORECASE)
_FUNCTION: Final = re.compile(r"^\s*(?:async\s+)?def\s+(\w+)")


def find_in_text(source: SourceFile, raw_reach: Reach) -> list[Site]:
    """Return the sites of a file, line by line; comments are left out.

    Args:
        source: The file.
        raw_reach: What the shim needs to see the raw requests of this bot.
    """
    sites, function = list[Site](), ""
    for number, line in enumerate(source.text.split("\n"), start=1):
        code = line.partition("#")[0]
        definition = _FUNCTION.match(code)
        function = definition[1] if definition else function
        method = _method_in(code)
        if method is not None:
            sites.append(
                Site(
                    file=source.name,
                    line=number,
                    end_line=number,
                    function=function,
                    door=method.name,
                    action=method.action,
                    kind=None,
                    how="text",
                    library=method.library,
                    reach=raw_reach if method.reach == "raw" else method.reach,
                )
            )
    return sites


def _method_in(code: str) -> OrderMethod | None:
    for match in _CALL.finditer(code):
        if match[1] in METHODS:
            return METHODS[match[1]]
    path, verb = _TEXT.search(code), _VERB.search(code)
    return find_raw(verb[1], path[1]) if path and verb and verb[1].lower() in VERBS else None
