"""How much of the bot's source the records show: what a report is handed by whoever scanned it. Pure."""

from typing import Final, NamedTuple

MOST_NEVER: Final = 50
"""How many places that were never seen are listed."""


class SourcePlace(NamedTuple):
    """Name a place in the source: its file and line, its function, and what it sends."""

    place: str
    function: str
    sends: str


class SourceCoverage(NamedTuple):
    """Say which places of the source that send exit orders were ever seen.

    Attributes:
        root: The folder or file that was read.
        places: How many there are.
        never: Those that no recorded order came from.
    """

    root: str
    places: int
    never: tuple[SourcePlace, ...]

    @property
    def seen(self) -> int:
        """How many were seen."""
        return self.places - len(self.never)
