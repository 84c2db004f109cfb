"""A timeline that goes on: it takes answers as they come, and forgets what is over."""

from typing import Final

from exit_shim.domain.events import Record
from exit_shim.journal import IN_DOUBT, state_of
from exit_shim.reports.lives import Life, ids_of
from exit_shim.reports.timeline import Timeline

MOST_UNSEEN: Final = 300
"""The live exits that are kept of a position that nobody looks at: nothing tells when one of them fires."""


class LiveTimeline(Timeline):
    """Take records twice where need be: in doubt, and when it is known what became of them."""

    def settle(self, record: Record, at: int) -> None:
        """Take what became of an order that was taken as in doubt.

        Args:
            record: The order, with its answer or resolution.
            at: When that was learnt, in nanoseconds since the epoch.
        """
        state = state_of(record.outcome, record.resolution)
        if state == IN_DOUBT:
            return
        life = self._doubtful(record)
        if record.intent.operation != "place" or life is None:
            self._settle_targets(record, at)
        elif state == "accepted":
            answer = record.resolution or record.outcome
            life.is_in_doubt = False
            self._name(life, ids_of(record.intent.account, answer))
            self._changed(life, at)
        else:
            self._end(life, at, "gone")

    def forget(self, before_ns: int) -> None:
        """Forget positions that nobody looked at since a moment, and what may still rest there."""
        for name, position in list(self._positions.items()):
            if (position.seen_ns or 0) >= before_ns:
                continue
            exits = sorted(position.exits.values(), key=lambda life: life.placed_ns)
            old = [life for life in exits if life.placed_ns < before_ns]
            for life in old or exits[:-MOST_UNSEEN]:
                self._drop(life)
            if not position.exits and position.span.start_ns < before_ns:
                del self._positions[name]

    def _settle_targets(self, record: Record, at: int) -> None:
        """Take the doubt from what a cancel or change is about, and let it have its effect."""
        for life in self._targets(record):
            life.is_in_doubt = False
            self._changed(life, at)
        self._apply(record, at)

    def _doubtful(self, record: Record) -> Life | None:
        """Return the exit in doubt that a record placed."""
        key = record.run_id, record.seq
        for position in self._positions.values():
            for life in position.exits.values():
                who = life.placed_by
                if life.is_in_doubt and who is not None and (who.run_id, who.seq) == key:
                    return life
        return None

    def _drop(self, life: Life) -> None:
        for key in life.ids:
            if self._live.get(key) is life:
                del self._live[key]
        self._position(life.position, self.now).exits.pop(id(life), None)
