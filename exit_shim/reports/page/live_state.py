"""What the page shows: folded from a record, kept up to date by its new events, and bounded."""

import heapq
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from exit_shim.domain.events import (
    ExecutorStep,
    Intent,
    Lost,
    OrderFindings,
    Outcome,
    PositionSeen,
    Record,
    Resolution,
    Switch,
)
from exit_shim.journal import IN_DOUBT, RecordFilter, RecordSource, StoredEvent, StoredStep, state_of
from exit_shim.journal.rows import decode, subject_of
from exit_shim.reports.lives import Life, PositionName, Span, number
from exit_shim.reports.page.feed import (
    FeedItem,
    has_cause,
    item_of_event,
    item_of_record,
    item_of_step,
    key_text,
    settled_item,
)
from exit_shim.reports.page.live_timeline import LiveTimeline
from exit_shim.reports.position_cover import SECOND_NS, PositionState
from exit_shim.reports.timeline import FACTS

Key: TypeAlias = tuple[str, int]
"""The run of a record, and its number there."""

RARE_EVENTS: Final = FACTS | {
    *("executor_step", "guard_finding", "lost", "switch", "alert_sent", "internal_error"),
}
"""The events about no order that the page shows, or is made of."""

PATIENCE_NS: Final = 15 * SECOND_NS
"""How long an order may be without an answer before it is shown as in doubt."""

CLAIMED_NS: Final = 30 * SECOND_NS
"""How long after its end it may turn out who ended an exit."""

TIDY_EVERY: Final = 1_000
"""How many orders are taken up until what is too much is dropped."""

MOST_ENDED: Final = 20_000
MOST_JUST_ENDED: Final = 500
MOST_SPANS: Final = 5_000
MOST_FEED: Final = 300
MOST_STEPS: Final = 60
MOST_DOUBTS: Final = 1_000
MOST_RECENT: Final = 2_000
MOST_PENDING: Final = 5_000
MOST_MARKS: Final = 2_000
"""The marks of one position: one a minute for a day, and some when it changes."""


class Mark(NamedTuple):
    """The mark price at a moment, in nanoseconds since the epoch."""

    at: int
    price: float


class LiveState:
    """Take a record up, then its new events; remember what the page shows of the last hours.

    Args:
        window_ns: How far back the page goes.
        wanted: Of this, only symbol, account, host and run count.
    """

    def __init__(self, window_ns: int, wanted: RecordFilter) -> None:
        self._window_ns = window_ns
        self._wanted = wanted
        self.timeline = LiveTimeline(self._keep_life, self._keep_span)
        self.ended: deque[Life] = deque()
        self.just_ended: deque[Life] = deque(maxlen=MOST_JUST_ENDED)
        self.spans: deque[Span] = deque()
        self.marks: defaultdict[PositionName, deque[Mark]] = defaultdict(lambda: deque(maxlen=MOST_MARKS))
        self.feed: OrderedDict[str, FeedItem] = OrderedDict()
        self.news: OrderedDict[str, FeedItem] = OrderedDict()
        self.new_spans: deque[Span] = deque(maxlen=MOST_SPANS)
        self.new_marks: deque[tuple[PositionName, Mark]] = deque(maxlen=MOST_MARKS)
        self.steps: deque[StoredStep] = deque(maxlen=MOST_STEPS)
        self.episodes: dict[PositionName, StoredStep] = {}
        self.pending: OrderedDict[Key, Intent] = OrderedDict()
        self.doubts: OrderedDict[Key, Record] = OrderedDict()
        self._recent: OrderedDict[Key, Record] = OrderedDict()
        self._causes: deque[Record] = deque(maxlen=MOST_FEED)
        self.lost = 0
        self.mode = ""
        self.enforce = ""
        self.last_event_ns = 0

    # Taking up

    def load(self, source: RecordSource, now_ns: int, place_of: Callable[[str], int]) -> None:
        """Take up what a source has of the window.

        Args:
            source: What to read.
            now_ns: The moment.
            place_of: Returns the place in a run's chain after which its events are taken as new.
        """
        since_ns = max(0, now_ns - self._window_ns)
        for record in self._earlier_placings(source, since_ns):
            self.timeline.take_record(record)
        for place, item in enumerate(self._read_window(source, since_ns)):
            if isinstance(item, Record):
                self._take_up(item, now_ns)
            # Later ones come once more, as news.
            elif item.pos <= place_of(item.run_id):
                self._take_fact(item)
            if place % TIDY_EVERY == 0:
                self._forget(now_ns)
        self._show_causes()
        self.lost = source.count_lost()
        for record in source.read_records(self._filter(in_doubt=True, until_ns=now_ns - PATIENCE_NS)):
            self._note_doubt(record)
        for stored in source.read_episodes():
            self._note_episode(stored)
        self.tidy(now_ns)

    def _filter(self, **narrower: Any) -> RecordFilter:
        wanted = self._wanted
        whole = RecordFilter(
            symbol=wanted.symbol, account=wanted.account, host=wanted.host, run_id=wanted.run_id
        )
        return whole._replace(**narrower)

    def _earlier_placings(self, source: RecordSource, since_ns: int) -> list[Record]:
        """Return the records that placed, before the window, the exits that the exchange listed last."""
        seen = (stored for stored in source.read_last_seen() if stored.ts >= since_ns and self._fits(stored))
        names = {name for stored in seen for name in decode(PositionSeen, stored.body).exits or ()}
        records = (
            record
            for name in names
            for record in source.read_records(RecordFilter(named=name, until_ns=since_ns))
            if record.intent.operation == "place"
        )
        return sorted(records, key=lambda record: record.intent.ts)

    def _read_window(self, source: RecordSource, since_ns: int) -> Iterator[Record | StoredEvent]:
        wanted = self._filter(since_ns=since_ns)
        streams: list[Iterator[tuple[int, Record | StoredEvent]]] = [
            ((record.intent.ts, record) for record in source.read_records(wanted)),
            ((stored.ts, stored) for stored in source.read_facts(RARE_EVENTS, since_ns=since_ns)),
        ]
        if wanted.symbol is not None:
            unnamed = wanted._replace(symbol=None, without_symbol=True)
            streams.append((record.intent.ts, record) for record in source.read_records(unnamed))
        for _, item in heapq.merge(*streams, key=lambda stamped: stamped[0]):
            yield item

    def _take_up(self, record: Record, now_ns: int) -> None:
        key = record.run_id, record.seq
        self._note_mode(record.intent)
        is_answered = record.outcome is not None or record.resolution is not None
        if not is_answered and record.intent.ts >= now_ns - PATIENCE_NS:
            self.pending[key] = record.intent
            return
        self.last_event_ns = max(self.last_event_ns, record.intent.ts)
        self.timeline.take_record(record)
        self._keep(key, record)
        if has_cause(record):
            self._causes.append(record)

    def _show_causes(self) -> None:
        """Make lines of the orders that give cause for one, and order all lines by time."""
        items = [item for record in self._causes if (item := item_of_record(record)) is not None]
        lines = sorted([*self.feed.values(), *items], key=lambda item: item.ms)[-MOST_FEED:]
        self._causes.clear()
        self.feed = OrderedDict((item.key, item) for item in lines)

    # What is new

    def take(self, events: list[StoredEvent], now_ns: int) -> None:
        """Take new events, in the order of their time."""
        for stored in events:
            self.last_event_ns = max(self.last_event_ns, stored.ts)
            if stored.event == "intent":
                self._begin(stored)
            elif stored.about is not None:
                self._take_answer(stored)
            else:
                self._take_fact(stored)
        self.tidy(now_ns)

    def tidy(self, now_ns: int) -> None:
        """Come to a moment: doubt what has no answer, and forget what left the window."""
        for key, intent in list(self.pending.items()):
            if intent.ts >= now_ns - PATIENCE_NS and len(self.pending) <= MOST_PENDING:
                break
            del self.pending[key]
            record = Record(*key, intent)
            self.timeline.take_record(record)
            self._note_doubt(record)
            self._remember(key, record)
        self.timeline.advance(now_ns)
        self._forget(now_ns)

    def positions(self) -> list[PositionState]:
        """Return every position as it is now."""
        return self.timeline.positions()

    def _begin(self, stored: StoredEvent) -> None:
        intent, key = decode(Intent, stored.body), (stored.run_id, stored.seq)
        if key in self._recent or not self._is_wanted(intent, stored.run_id):
            return
        self._note_mode(intent)
        self.pending.setdefault(key, intent)

    def _take_answer(self, stored: StoredEvent) -> None:
        key = stored.line.subject()
        if key is None:
            return
        if stored.event == "outcome" and key in self.pending:
            record = Record(*key, self.pending.pop(key), decode(Outcome, stored.body))
            self.timeline.take_record(record)
            self.timeline.advance(stored.ts)
        else:
            before = self._recent.get(key) or self.doubts.get(key)
            if before is None:
                return
            record = self._take_later(before, stored)
        self._remember(key, record)

    def _take_later(self, before: Record, stored: StoredEvent) -> Record:
        """Take what became known of an order after its answer, or its patience, was over."""
        parts = before.outcome, before.resolution, before.findings
        if stored.event == "outcome" and before.outcome is None:
            parts = decode(Outcome, stored.body), before.resolution, before.findings
        elif stored.event == "resolution":
            parts = before.outcome, decode(Resolution, stored.body), before.findings
        elif stored.event == "order_findings":
            parts = before.outcome, before.resolution, decode(OrderFindings, stored.body)
        record = Record(before.run_id, before.seq, before.intent, *parts)
        if is_in_doubt(before) and not is_in_doubt(record):
            self.timeline.settle(record, stored.ts)
        return record

    def _keep(self, key: Key, record: Record) -> None:
        self._recent[key] = record
        while len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)
        if is_in_doubt(record):
            self._note_doubt(record)
        else:
            self.doubts.pop(key, None)

    def _remember(self, key: Key, record: Record) -> None:
        self._keep(key, record)
        item = item_of_record(record)
        if item is None and key_text(record) in self.feed:
            # What was in doubt turned out to be nothing.
            item = settled_item(record)
        self._add_item(item)

    def _note_doubt(self, record: Record) -> None:
        self.doubts[record.run_id, record.seq] = record
        while len(self.doubts) > MOST_DOUBTS:
            self.doubts.popitem(last=False)

    def _take_fact(self, stored: StoredEvent) -> None:
        if not self._fits(stored):
            return
        self.last_event_ns = max(self.last_event_ns, stored.ts)
        if stored.event in FACTS:
            self.timeline.take_fact(stored)
        if stored.event == "position_seen":
            self._note_mark(decode(PositionSeen, stored.body), stored.ts)
        elif stored.event == "executor_step":
            self._note_step(stored)
        elif stored.event == "lost":
            self.lost += decode(Lost, stored.body).events
        elif stored.event == "switch":
            self._note_switch(decode(Switch, stored.body))
        self._add_item(item_of_event(stored))

    def _note_step(self, stored: StoredEvent) -> None:
        step = decode(ExecutorStep, stored.body)
        each = StoredStep(stored.run_id, stored.seq, stored.ts, step)
        self.steps.append(each)
        self._note_episode(each)
        self._add_item(item_of_step(stored, step))

    def _note_episode(self, stored: StoredStep) -> None:
        step = stored.step
        name = PositionName(step.account, step.symbol, step.position_side)
        before = self.episodes.get(name)
        if before is not None and before.ts > stored.ts:
            return
        self.episodes[name] = stored

    def _note_mark(self, seen: PositionSeen, at: int) -> None:
        price = number(seen.mark_price)
        if price is None:
            return
        name, mark = PositionName(seen.account, seen.symbol, seen.position_side), Mark(at, float(price))
        self.marks[name].append(mark)
        self.new_marks.append((name, mark))

    def _note_switch(self, switch: Switch) -> None:
        self.mode = self.mode if switch.mode is None else switch.mode
        self.enforce = switch.enforce or self.enforce

    def _note_mode(self, intent: Intent) -> None:
        self.mode = intent.mode

    def _add_item(self, item: FeedItem | None) -> None:
        if item is None:
            return
        self.feed[item.key] = self.news[item.key] = item
        for lines in (self.feed, self.news):
            while len(lines) > MOST_FEED:
                lines.popitem(last=False)

    # What is kept

    def _keep_life(self, life: Life) -> None:
        self.ended.append(life)
        self.just_ended.append(life)
        if len(self.ended) > MOST_ENDED:
            self.ended.popleft()

    def _keep_span(self, span: Span) -> None:
        self.spans.append(span)
        self.new_spans.append(span)
        if len(self.spans) > MOST_SPANS:
            self.spans.popleft()

    def _forget(self, now_ns: int) -> None:
        before = now_ns - self._window_ns
        while self.ended and (self.ended[0].ended_ns or 0) < before:
            self.ended.popleft()
        while self.spans and (self.spans[0].end_ns or 0) < before:
            self.spans.popleft()
        while self.just_ended and (self.just_ended[0].ended_ns or 0) < now_ns - CLAIMED_NS:
            self.just_ended.popleft()
        for name, marks in list(self.marks.items()):
            while marks and marks[0].at < before:
                marks.popleft()
            if not marks:
                del self.marks[name]
        for name, stored in list(self.episodes.items()):
            if stored.step.verb == "end":
                del self.episodes[name]
        self.timeline.forget(before)

    # What is wanted

    def _is_wanted(self, intent: Intent, run_id: str) -> bool:
        wanted = self._wanted
        return (
            wanted.run_id in (None, run_id)
            and wanted.account in (None, intent.account)
            and (wanted.symbol is None or intent.order.symbol in (None, wanted.symbol))
        )

    def _fits(self, stored: StoredEvent) -> bool:
        wanted = self._wanted
        if stored.event == "run_ended":
            return True
        if wanted.run_id not in (None, stored.run_id):
            return False
        if wanted.symbol is None and wanted.account is None:
            return True
        about = subject_of(stored.body)
        # What is about no position, such as a switch, is about all.
        return all(
            value is None or actual in (None, value)
            for value, actual in ((wanted.symbol, about.symbol), (wanted.account, about.account))
        )


def is_in_doubt(record: Record) -> bool:
    """Return whether nobody knows what became of an order."""
    return state_of(record.outcome, record.resolution) == IN_DOUBT


def is_open(state: PositionState) -> bool:
    """Return whether a position is open, as far as anybody knows, or has exits."""
    return bool(state.exits) or (state.amount is not None and state.amount != 0)
