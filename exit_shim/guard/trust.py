"""Trust in the book: what makes it unsure, such as orders in doubt or gaps in a stream."""

import time
from typing import Final

MAX_DOUBTS: Final = 10_000


class Trust:
    """Remembers why the book may be wrong.

    Attributes:
        is_behind: Whether what other processes and earlier runs did is not read yet.
    """

    def __init__(self) -> None:
        self.is_behind = False
        self._doubted: set[tuple[str | None, str | None]] = set()
        self._distrusted: dict[str | None, tuple[str, int]] = {}

    def doubt(self, account: str | None, symbol: str | None) -> None:
        """Remember that an order on a symbol is in doubt."""
        if len(self._doubted) < MAX_DOUBTS:
            self._doubted.add((account, symbol))

    def settle(self, account: str | None, symbol: str | None) -> None:
        """Forget the doubts about a symbol: they were resolved, or both stores were read."""
        self._doubted.discard((account, symbol))

    def lose(self, account: str | None, why: str | None) -> None:
        """Have all that is known of an account count as unsure until `restore`; None ends it at once."""
        if why is None:
            self._distrusted.pop(account, None)
        else:
            self._distrusted[account] = (why, time.time_ns())

    def restore(self, account: str | None, at: int) -> None:
        """Trust an account again: at `at`, in ns since the epoch, the book was right."""
        if self._distrusted.get(account, ("", at))[1] < at:
            self._distrusted.pop(account, None)

    def why_unsure(self, account: str | None, symbol: str | None) -> str | None:
        """Return why what is known of a symbol may be wrong; None where there is no reason to think so."""
        if self.is_behind:
            return "the journal is not read yet"
        if (account, symbol) in self._doubted:
            return "an order on this symbol is in doubt"
        return self._distrusted.get(account, (None, 0))[0]
