"""Write every event into the journal, then tell the consumers."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from exit_shim.domain.events import Event
from exit_shim.domain.recorded import Consumer, RecordedEvent
from exit_shim.runtime.background import Dispatch
from exit_shim.runtime.internal_errors import InternalErrors

EventType = type[Event]
On = Callable[[RecordedEvent], None]


class EventLog(Protocol):
    """Write events down durably; the journal does."""

    run_id: str

    def append(self, event: Event, about: tuple[str, int] | None = None) -> int:
        """Write an event down and return its number in the run; an intent is durable on return."""


NOBODY: Final[tuple[On, ...]] = ()


def is_late(consumer: Consumer) -> bool:
    """Return whether a consumer gets an outcome only after the rules that warn."""
    return bool(getattr(consumer, "is_after_rules", False))


class Recorder:
    """Write each event down, tell the inline consumers, and hand it to the background for the others.

    Args:
        journal: Where events are written down; None for nowhere.
        inline: Consumers that are called at once, on the order's own thread, by kind of event.
        deferred: Consumers that are called soon after, on the background thread; `wants` names the kinds.
        background: That thread's queue; it counts what had to be dropped.
        internal_errors: Counts what fails here.
        on_doubt: Called with the client and the outcome of each order that ended in doubt; None for nobody.
    """

    def __init__(
        self,
        journal: EventLog | None,
        inline: Mapping[EventType, Sequence[On]],
        deferred: Iterable[Consumer],
        background: Dispatch,
        internal_errors: InternalErrors,
        on_doubt: Callable[[Any, RecordedEvent], None] | None = None,
    ) -> None:
        self.internal_errors = internal_errors
        self.on_doubt = on_doubt
        self._journal = journal
        self._inline = {kind: tuple(consumers) for kind, consumers in inline.items()}
        self._consumers = tuple(deferred)
        self._deferred: dict[EventType, tuple[Consumer, ...]] = {}
        self._background = background
        self._numbers = itertools.count(1)

    def record(
        self,
        event: Event,
        about: RecordedEvent | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        leaves: bool = True,
    ) -> RecordedEvent:
        """Write an event down and tell everybody.

        Args:
            event: The event.
            about: The intent that it is about.
            params: Of an intent, the fields of its call.
            leaves: False for an intent whose order is not sent.
        """
        journal, run_id, seq = self._journal, "", 0
        try:
            if journal is None:
                seq = next(self._numbers)
            elif about is None:
                seq, run_id = journal.append(event), journal.run_id
            # Without a number the intent could not be written down, and nobody would find its outcome.
            elif about.seq:
                seq, run_id = journal.append(event, (about.run_id, about.seq)), journal.run_id
        except Exception as error:  # noqa: BLE001 - the record is the poorer for it, not the order
            self.internal_errors.report("write the journal", error)
        recorded = RecordedEvent(run_id, seq, event, about, params)
        recorded.leaves = leaves
        self.tell(recorded)
        return recorded

    def tell(self, recorded: RecordedEvent) -> None:
        """Tell all consumers of an event that was written down before."""
        for on in self._inline.get(type(recorded.event), NOBODY):
            try:
                on(recorded)
            except Exception as error:  # noqa: BLE001, PERF203 - one consumer's failure is not another's
                self.internal_errors.report(f"tell {on.__qualname__}", error)
        try:
            consumers = self._deferred.get(type(recorded.event))
            if consumers is None:
                consumers = self._find_consumers(type(recorded.event))
            if consumers:
                self._background.hand_over(self._tell_deferred, consumers, recorded)
        except Exception as error:  # noqa: BLE001
            self.internal_errors.report("hand an event to the background", error)

    def _find_consumers(self, kind: EventType) -> tuple[Consumer, ...]:
        """Return the deferred consumers of a kind of event; those without `wants` get every kind."""
        consumers = tuple(one for one in self._consumers if kind in getattr(one, "wants", (kind,)))
        self._deferred[kind] = consumers
        return consumers

    def _tell_deferred(self, consumers: tuple[Consumer, ...], recorded: RecordedEvent) -> None:
        for consumer in consumers:
            try:
                consumer.on(recorded)
            except Exception as error:  # noqa: BLE001, PERF203 - one consumer's failure is not another's
                self.internal_errors.report(f"sink {type(consumer).__name__}", error)
