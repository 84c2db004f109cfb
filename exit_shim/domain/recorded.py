"""Define an event as consumers get it, and what a consumer is."""

import time
from collections.abc import Mapping
from typing import Any, Protocol

from exit_shim.domain.events import Event, Intent
from exit_shim.domain.verdicts import Reason


class RecordedEvent:
    """Hold one event with its place in the record, and the intent that it is about.

    Attributes:
        run_id: The run that recorded it; "" where nothing is journalled.
        seq: Its number in that run; 0 where it could not be written down.
        ts: When it was recorded, in nanoseconds since the epoch.
        event: The event itself, one of the structs of `exit_shim.domain.events`.
        about: The recorded intent that it is about; None for an intent, and for what is about no order.
        params: Of an intent of this process, the call's own fields. They are written nowhere.
        leaves: False for an intent whose order is not sent.
        was_judged: Set by the guard: whether the enforced rules were asked before the send.
        book_context: Set by the book: what it had around the order before it learnt of the outcome.
        found: Set by the rules that only warn: what they found about the order of an outcome.
    """

    __slots__ = (
        *("about", "book_context", "event", "found", "leaves", "params", "run_id", "seq", "ts", "was_judged"),
    )
    # Not set at first: that would take a moment of each order.
    found: tuple[Reason, ...]

    def __init__(
        self,
        run_id: str,
        seq: int,
        event: Event,
        about: "RecordedEvent | None" = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.run_id = run_id
        self.seq = seq
        self.ts = time.time_ns()
        self.event = event
        self.about = about
        self.params = params
        self.leaves = True
        self.was_judged = False
        self.book_context: Any = None

    @property
    def intent(self) -> Intent | None:
        """The intent itself, or the one that the event is about; None for what is about no order."""
        event = self.event if self.about is None else self.about.event
        return event if isinstance(event, Intent) else None


class Consumer(Protocol):
    """Take events, each once, in the order in which they were recorded.

    It is called on a background thread, in a copy of the context in which the event was recorded: that of the
    code that placed the order. With an attribute `wants`, a set of kinds, it gets only those. With a true
    `is_after_rules` it gets an outcome once the rules that only warn have set its `found`.
    """

    def on(self, recorded: RecordedEvent) -> None:
        """Take one event; ignore kinds that it does not know."""
