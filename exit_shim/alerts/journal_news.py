"""Follow a journal: the orders, with their answers, and all other events that were added, by any process."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from exit_shim.alerts.wording import SECOND_NS
from exit_shim.domain.events import Intent, Outcome, Record, Resolution
from exit_shim.journal import JournalError, JournalReader, RecordFilter, StoredEvent
from exit_shim.journal.rows import decode

LATE_NS: Final = 15 * SECOND_NS
"""How long an order without an answer is waited for before it is handed on as it is."""

MOST_PENDING: Final = 10_000

ANYHOW_NS: Final = 2 * SECOND_NS
"""How often the journal is read though it looks unchanged: what a killed process left is not in it yet."""

POSITIONS: Final = "SELECT run_id, pos FROM runs"

ORDER_EVENTS: Final = frozenset({"intent", "outcome", "resolution", "order_findings"})


class JournalNews:
    """Read what was added to a journal since the last time.

    Args:
        path: The journal.
    """

    def __init__(self, path: Path) -> None:
        self.reader = JournalReader(path)
        self._seen: dict[str, int] = {}
        self._stamp: tuple[int, ...] = ()
        self._read_ns = 0
        self._pending: dict[tuple[str, int], Record] = {}
        self._news: list[tuple[int, Record | StoredEvent]] = []
        self.problem: JournalError | None = None
        """Why the last read did not come to an end; None where it did."""

    def skip_to_end(self) -> None:
        """Skip all events so far.

        Raises:
            JournalError: The journal cannot be read.
        """
        self._seen = dict(self._read_positions())

    def read(self, now_ns: int) -> list[Record | StoredEvent]:
        """Return what is new, in the order of its time; an order once its answer came, or after 15 s.

        What cannot be read is left for the next time, and `problem` says why.
        """
        stamp = self._read_stamp()
        if stamp != self._stamp or abs(now_ns - self._read_ns) >= ANYHOW_NS or self.problem is not None:
            self.problem = None
            self._read_runs()
            self._stamp, self._read_ns = stamp, now_ns
        self._news += self._late(now_ns)
        news, self._news = sorted(self._news, key=lambda stamped: stamped[0]), []
        return [item for _, item in news]

    def _read_positions(self) -> Iterator[tuple[str, int]]:
        return self.reader.query(POSITIONS, {}, lambda run_id, pos: (str(run_id), int(pos)))

    def _read_runs(self) -> None:
        """Take what is new of each run; one that cannot be read keeps no other from being read."""
        try:
            positions = list(self._read_positions())
        except JournalError as error:
            self.problem = error
            return
        for run_id, pos in positions:
            if pos > self._seen.get(run_id, 0):
                try:
                    self._read_run(run_id)
                except JournalError as error:
                    self.problem = error

    def _read_run(self, run_id: str) -> None:
        for stored in self.reader.read_events(run_id=run_id, after_pos=self._seen.get(run_id, 0)):
            # A later release may have written what this one cannot decode.
            with contextlib.suppress(msgspec.DecodeError):
                self._news += self._take(stored)
            # Not before: what raised is read again.
            self._seen[run_id] = stored.pos

    def _take(self, stored: StoredEvent) -> Iterator[tuple[int, Record | StoredEvent]]:
        if stored.event == "intent":
            intent = decode(Intent, stored.body)
            self._pending[stored.run_id, stored.seq] = Record(stored.run_id, stored.seq, intent)
            while len(self._pending) > MOST_PENDING:
                del self._pending[next(iter(self._pending))]
        elif stored.event in {"outcome", "resolution"}:
            record = self._answer(stored)
            if record is not None:
                yield stored.ts, record
        elif stored.event not in ORDER_EVENTS:
            yield stored.ts, stored

    def _answer(self, stored: StoredEvent) -> Record | None:
        """Return an order with its answer; it is kept for a later one only while it is in doubt."""
        run_id, _, seq = (stored.about or "").rpartition(":")
        key = (run_id or stored.run_id, int(seq)) if seq.isdigit() else None
        if key is None:
            return None
        record = self._pending.pop(key, None) or self._find(key)
        if record is None:
            return None
        if stored.event == "outcome":
            record = msgspec.structs.replace(record, outcome=decode(Outcome, stored.body))
            if record.outcome is not None and record.outcome.result == "unknown":
                self._pending[key] = record
        else:
            record = msgspec.structs.replace(record, resolution=decode(Resolution, stored.body))
        return record

    def _find(self, key: tuple[str, int]) -> Record | None:
        """Return an order that was recorded before the following began."""
        named = RecordFilter(named=f"{key[0]}:{key[1]}")
        return next(iter(self.reader.read_records(named)), None)

    def _late(self, now_ns: int) -> Iterator[tuple[int, Record | StoredEvent]]:
        """Yield the orders without an answer whose time is up, each once."""
        for key, record in list(self._pending.items()):
            if record.outcome is None and now_ns - record.intent.ts >= LATE_NS:
                waiting = msgspec.structs.replace(record, outcome=Outcome(result="unknown"))
                self._pending[key] = waiting
                yield now_ns, waiting

    def _read_stamp(self) -> tuple[int, ...]:
        stamp: list[int] = []
        path = self.reader.path
        for each in (path, path.with_name(f"{path.name}-wal")):
            with contextlib.suppress(OSError):
                status = os.stat(each)  # noqa: PTH116 - `Path.stat` is four times as slow
                stamp += (status.st_mtime_ns, status.st_size, status.st_ino)
        return tuple(stamp)
