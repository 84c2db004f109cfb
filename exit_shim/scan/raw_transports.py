"""Whether a bot uses a transport whose raw requests the shim sees."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from exit_shim.clients.packages import TRANSPORTS
from exit_shim.scan.sites import Reach
from exit_shim.scan.source_files import SourceFile

_NAMES: Final = "|".join(TRANSPORTS)
_IMPORT: Final = re.compile(
    rf"^[ \t]*(?:import\b[^#\n]*(?<![.\w])(?:{_NAMES})\b|from[ \t]+(?:{_NAMES})(?:\.[.\w]+)?[ \t]+import\b)",
    re.MULTILINE,
)


def find_raw_reach(sources: Iterable[SourceFile]) -> Reach:
    """Return what the shim needs to see a bot's raw requests, by what any of its files imports.

    Texts are searched, as a file that does not parse may be the one.
    """
    return "raw" if any(_IMPORT.search(source.text) for source in sources) else "neither"
