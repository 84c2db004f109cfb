"""What the journal of one test holds, at the moment that it is asked."""

from __future__ import annotations

from exit_shim.domain.events import EVENT_NAMES, GuardFinding, Record
from exit_shim.journal import Journal, JournalReader
from exit_shim.journal.rows import decode


class JournalOfTest:
    """Read a journal that is being written.

    Args:
        journal: The journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def read_records(self) -> list[Record]:
        """Return the recorded orders, oldest first."""
        self._journal.flush()
        return list(JournalReader(self._journal.path).read_records())

    def read_findings(self) -> list[GuardFinding]:
        """Return what the guard found about no single order, oldest first."""
        self._journal.flush()
        facts = JournalReader(self._journal.path).read_facts({EVENT_NAMES[GuardFinding]})
        return [decode(GuardFinding, fact.body) for fact in facts]
