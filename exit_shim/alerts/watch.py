"""Watch a journal and an account, and send what somebody has to be told."""

import contextlib
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from exit_shim.alerts.account import AccountSight
from exit_shim.alerts.bare import GRACE_S, BarePositions
from exit_shim.alerts.digest import BareTimes, DigestClock, TimeOfDay, make_digest
from exit_shim.alerts.episodes import SETTLE_S, Episodes, Message, Trouble
from exit_shim.alerts.journal_news import JournalNews
from exit_shim.alerts.orders import DOUBT_S, FORGOTTEN_NS, NOTICED, OrdersInDoubt, notice_denial, notice_event
from exit_shim.alerts.retries import Retries
from exit_shim.alerts.wording import SECOND_NS, duration, lines, plain
from exit_shim.domain.events import AlertSent, ExchangeUpdate, PositionSeen, Record
from exit_shim.journal import Journal, JournalError, JournalReader, RecordFilter, StoredEvent
from exit_shim.journal.rows import decode
from exit_shim.reports.lives import Life, Span
from exit_shim.reports.page.live_timeline import LiveTimeline
from exit_shim.reports.situation import fold
from exit_shim.reports.timeline import FACTS, PositionState
from exit_shim.sinks.alerts import AlertServices, Delivery, Mail
from exit_shim.sinks.heartbeat import Heartbeat

POLL_S: Final = 0.25
"""How often the journal is looked at."""

LOOK_BACK_NS: Final = 3_600 * SECOND_NS
"""How far back the watch learns at its start who placed and took away what."""

LATELY_NS: Final = 600 * SECOND_NS
"""How far back denials, switches and losses are reported at the start, unless they were before."""

MEMORY_NS: Final = 14 * 24 * 3_600 * SECOND_NS
"""How far back what was sent is remembered."""

BLIND_S: Final = 60.0
"""How long the exchange may be unreadable."""

FORGET_NS: Final = 60 * SECOND_NS
"""How often positions are forgotten that nobody saw for as long as the watch looks back."""

SET_BACK_NS: Final = 5 * SECOND_NS
"""Where the record is ahead of the clock by more, the clock was set back."""

OVERDUE: Final = 3
"""A look that is late by so many times its interval was not done."""

PARTING_S: Final = 5.0
"""How long the end of the watch waits for messages that are under way."""

MOST_AT_ONCE: Final = 3
"""More messages of a kind in one round are one mail: a chat that rings 62 times is muted."""

MOST_TITLES: Final = 20
"""The messages of such a mail of which the first line is shown."""

NO_SERVICE: Final = "no service is configured"


class WatchOptions(NamedTuple):
    """What is watched for, and how patiently.

    Attributes:
        symbols: The symbols whose positions are watched; empty: all.
        grace_s: How long a position may be bare.
        also_partly: Whether a position that stops close in part is reported, too.
        settle_s: How long a trouble must be gone to be over.
        doubt_s: How long an order may be in doubt.
        blind_s: How long the exchange may be unreadable.
        digest: When the daily digest is sent; None: never.
    """

    symbols: frozenset[str] = frozenset()
    grace_s: float = GRACE_S
    also_partly: bool = False
    settle_s: float = SETTLE_S
    doubt_s: float = DOUBT_S
    blind_s: float = BLIND_S
    digest: TimeOfDay | None = None


class Zone(NamedTuple):
    """How times are written.

    Attributes:
        stamp: Writes a time for people.
        time_of: Returns the time of nanoseconds since the epoch.
    """

    stamp: Callable[[int], str]
    time_of: Callable[[int], datetime]


class Watch:
    """Follow a journal and one account, and send alerts; for one thread.

    Args:
        journal: The journal, which is open.
        record: Records what was sent in it.
        sight: Looks at the account.
        services: Where alerts go; None: nowhere, they are only shown.
        show: Shows what became of each alert.
        zone: How times are written.
        options: What is watched for.
        troubles: Returns what keeps an executor from acting, each as long as it lasts; None: nobody knows.
        heartbeat: Shows that somebody watches, for as long as exchange and journal can be read.
        on_trouble: Called with what fails in a round; the next one comes all the same.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        journal: Journal,
        record: Callable[[AlertSent], object],
        sight: AccountSight,
        services: AlertServices | None,
        show: Callable[[AlertSent], object],
        zone: Zone,
        options: WatchOptions,
        troubles: Callable[[], Iterable[Trouble]] | None = None,
        heartbeat: Heartbeat | None = None,
        on_trouble: Callable[[str, Exception], object],
    ) -> None:
        self._journal = journal
        self._record = record
        self._sight = sight
        self._services = services
        self._show = show
        self._zone = zone
        self._options = options
        self._troubles = troubles or tuple
        # What another process reports of its executor, it ends itself.
        self._ends = set(OVER) if troubles is not None else {"blind"}
        self._heartbeat = heartbeat
        self._on_trouble = on_trouble
        self._news = JournalNews(journal.path)
        self._backlog: deque[Record | StoredEvent] = deque()
        self._episodes = Episodes(options.settle_s)
        self._bare = BarePositions(
            self._episodes, zone.stamp, options.grace_s, also_partly=options.also_partly
        )
        self._doubts = OrdersInDoubt(self._episodes, options.doubt_s)
        self._bare_times = BareTimes()
        self._timeline = self._make_timeline()
        self._is_set_back = False
        self._forgot_ns = 0
        self._digest = DigestClock(None, zone.time_of, 0)
        self._digests: list[Message] = []
        self._once: list[Message] = []
        self._retries = Retries()
        self._deliveries: list[tuple[Message, Delivery]] = []
        self._has_begun = False
        self._has_looked = False
        self._journal_ns = time.time_ns()
        self._journal_problem: str | None = None
        self._held: dict[tuple[str, str], int] = {}

    def _make_timeline(self) -> LiveTimeline:
        # Only a digest empties what is added up.
        is_told = self._options.digest is not None
        return LiveTimeline(on_life=_ignore, on_span=self._bare_times.take_span if is_told else _ignore)

    def run(self, stopped: threading.Event) -> None:
        """Watch until stopped; what is under way by then is waited for a moment."""
        while not stopped.wait(POLL_S):
            self._run_guarded()
        self.end()

    def _run_guarded(self) -> None:
        try:
            self.run_once()
        except Exception as error:  # noqa: BLE001 - the watch must outlive whatever it meets
            self._on_trouble("watch positions and orders", error)

    def run_once(self, now_ns: int | None = None) -> None:
        """Do one round: look, read, decide and hand over."""
        self._sight.look_if_due()
        now_ns = time.time_ns() if now_ns is None else now_ns
        self._read_journal(now_ns)
        if self._has_begun:
            self._send_all(self._once)
            self._once.clear()
            self._send_all([*self._about_positions(now_ns), *self._about_orders(now_ns)])
        self._send_all(self._about_now(now_ns))
        self._send_all(self._retries.take_due(now_ns))
        self._collect()
        if self._heartbeat is not None and self.can_see and not self._is_set_back:
            self._heartbeat.beat()

    def end(self) -> None:
        """Wait a moment for what is under way, and record what became of it."""
        until = time.monotonic() + PARTING_S
        while self._deliveries and time.monotonic() < until:
            self._collect()
            time.sleep(0.02)
        for message, delivery in self._deliveries:
            delivery.until = 0.0
            delivery.is_over(time.monotonic())
            self._conclude(message, delivery)
        self._deliveries.clear()

    # The journal

    def _read_journal(self, now_ns: int) -> None:
        try:
            if not self._has_begun:
                self._begin(now_ns)
            self._backlog.extend(self._news.read(now_ns))
            while self._backlog:
                # Should one raise, the next round takes the others.
                self._take(self._backlog.popleft(), now_ns)
            if self._news.problem is not None:
                raise self._news.problem
        except JournalError as error:
            self._journal_problem = str(error)
            return
        # What cannot be written is read nowhere, neither what a look shows nor what a bot does.
        self._journal_problem = self._journal.health().last_error
        if self._journal_problem is None:
            self._journal_ns = now_ns
        self._timeline.advance(now_ns)
        self._is_set_back = self._timeline.now - now_ns > SET_BACK_NS
        if self._is_set_back:
            self._begin_anew(now_ns)
        elif abs(now_ns - self._forgot_ns) >= FORGET_NS:
            self._forgot_ns = now_ns
            self._timeline.forget(now_ns - LOOK_BACK_NS)

    def _begin_anew(self, now_ns: int) -> None:
        """Go on after the clock was set back, from what is not ahead of it."""
        self._timeline = self._make_timeline()
        self._bare.set_back()
        self._sight.set_back(now_ns)
        self._episodes.set_back(now_ns)
        self._held.clear()
        self._journal_ns = min(self._journal_ns, now_ns)
        try:
            fold(self._news.reader, self._timeline, self._lately(now_ns)._replace(until_ns=now_ns))
        except JournalError as error:
            self._journal_problem = str(error)

    def _begin(self, now_ns: int) -> None:
        """Learn what was sent, what is in doubt, and who did what lately."""
        self._news.skip_to_end()
        # Where the journal could not be read to its end, this is not the first time.
        self._timeline = self._make_timeline()
        reader = self._news.reader
        sent = reader.read_facts({"alert_sent"}, since_ns=now_ns - MEMORY_NS)
        self._episodes.remember((stored.ts, decode(AlertSent, stored.body)) for stored in sent)
        for record in reader.read_records(RecordFilter(in_doubt=True, since_ns=now_ns - FORGOTTEN_NS)):
            self._doubts.take(record)
        fold(reader, self._timeline, self._lately(now_ns))
        for stored in reader.read_facts({"exchange_update"}, since_ns=now_ns - LOOK_BACK_NS):
            self._bare.take_update(decode(ExchangeUpdate, stored.body), self._sight.offset_ns)
        last_ns = self._episodes.last_told("digest", "digest")
        self._digest = DigestClock(self._options.digest, self._zone.time_of, now_ns, last_ns)
        self._notice_lately(reader, now_ns)
        self._has_begun = True

    def _lately(self, now_ns: int) -> RecordFilter:
        """Return the filter for what happened lately on the account."""
        return RecordFilter(account=self._sight.account, since_ns=now_ns - LOOK_BACK_NS)

    def _notice_lately(self, reader: JournalReader, now_ns: int) -> None:
        """Tell of what happened while nobody watched, during a restart for example."""
        since_ns = now_ns - LATELY_NS
        for record in reader.read_records(RecordFilter(since_ns=since_ns)):
            self._send_once(notice_denial(record), now_ns)
        for stored in reader.read_facts(NOTICED, since_ns=since_ns):
            self._send_once(notice_event(stored), now_ns)

    def _take(self, item: Record | StoredEvent, now_ns: int) -> None:
        if isinstance(item, Record):
            if item.intent.account == self._sight.account:
                self._timeline.take_record(item)
            self._doubts.take(item)
            self._send_once(notice_denial(item), now_ns)
            return
        if item.event in FACTS and self._is_own(item):
            self._timeline.take_fact(item)
        if item.event == "exchange_update":
            self._bare.take_update(decode(ExchangeUpdate, item.body), self._sight.offset_ns)
        elif item.event == "alert_sent" and item.run_id != self._journal.run_id:
            sent = decode(AlertSent, item.body)
            # Another process told somebody already; what that one cannot see or do is its own.
            if sent.alert not in OVER:
                self._episodes.remember([(item.ts, sent)])
        elif item.event in NOTICED:
            self._send_once(notice_event(item), now_ns)

    def _is_own(self, stored: StoredEvent) -> bool:
        """Return whether a fact is about the account that is watched; what is about no account is."""
        kind = ABOUT_ACCOUNTS.get(stored.event)
        return kind is None or decode(kind, stored.body).account == self._sight.account

    # What there is to tell

    def _about_positions(self, now_ns: int) -> Iterator[Message]:
        states = [state for state in self._timeline.positions() if self._is_watched(state)]
        due = self._bare.due(states, now_ns)
        seen = self._sight.see([state.position for state in due]) if due else {}
        yield from self._bare.advance(states, seen, now_ns)
        if self._sight.open is not None and not self._has_looked:
            # No event tells of what was closed while nobody watched.
            self._has_looked = True
            yield from self._bare.end_closed(self._sight.open, self._sight.account, now_ns)

    def _is_watched(self, state: PositionState) -> bool:
        name, symbols = state.position, self._options.symbols
        return name.account == self._sight.account and (not symbols or name.symbol in symbols)

    def _about_orders(self, now_ns: int) -> Iterator[Message]:
        yield from self._doubts.advance(now_ns)
        span = self._digest.take_due(now_ns)
        if span is not None:
            # Over a large journal it takes its time.
            bare = tuple(self._bare_times.take_lines())
            work = functools.partial(self._make_digest, span, bare)
            threading.Thread(target=work, name="exit-shim-digest", daemon=True).start()
        while self._digests:
            yield self._digests.pop(0)

    def _make_digest(self, span: tuple[int, int], bare: tuple[str, ...]) -> None:
        reader = JournalReader(self._news.reader.path)
        try:
            self._digests.append(make_digest(reader, span, self._zone.stamp, bare))
        except JournalError as error:
            title = "daily digest: the journal cannot be read"
            self._digests.append(Message("digest", "digest", title, plain(error)))

    def _about_now(self, now_ns: int) -> Iterator[Message]:
        """Yield the messages about what can be seen at this moment, without the journal."""
        troubles = [*self._blind(now_ns), *self._troubles()]
        for trouble in troubles:
            message = self._episodes.hold(trouble, now_ns)
            self._held[trouble.alert, trouble.key] = now_ns
            if message is not None:
                yield message
        lasting = {(trouble.alert, trouble.key) for trouble in troubles}
        for alert, key in self._open_now(lasting):
            # What was told before a restart may be over since.
            held_ns = self._held.setdefault((alert, key), now_ns)
            if now_ns - held_ns >= self._episodes.settle_ns:
                del self._held[alert, key]
                what = key.rsplit(" ", 1)[1] if alert == "blind" else ""
                message = self._episodes.end(alert, key, held_ns, OVER[alert].format(what))
                if message is not None:
                    yield message

    def _open_now(self, lasting: set[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return what somebody was told of, of the kinds that are seen at the moment, and does not last."""
        told = [(alert, key) for alert in self._ends for key in self._episodes.open_keys(alert)]
        own = f"{self._sight.account or '-'} "
        return [(alert, key) for alert, key in told if key.startswith(own) and (alert, key) not in lasting]

    def _blind(self, now_ns: int) -> Iterator[Trouble]:
        sight, limit_ns = self._sight, int(self._options.blind_s * SECOND_NS)
        if self._is_exchange_unread(now_ns):
            after = duration(now_ns - sight.read_ns)
            text = lines(
                ("account", plain(sight.account or "without a label")),
                ("why", plain(sight.problem or "it was not asked")),
                ("next", "check the connection, the key and the exchange's status"),
            )
            title = f"the exchange could not be read for {after}: nobody knows whether positions are bare"
            yield Trouble("blind", f"{sight.account or '-'} exchange", sight.read_ns, title, text)
        if now_ns - self._journal_ns >= limit_ns:
            text = lines(("why", plain(self._journal_problem or "")), ("next", "exit-shim doctor"))
            title = f"the journal could not be read or written for {duration(now_ns - self._journal_ns)}"
            yield Trouble("blind", f"{sight.account or '-'} journal", self._journal_ns, title, text)

    @property
    def can_see(self) -> bool:
        """Whether exchange and journal were read a short while ago."""
        now_ns = time.time_ns()
        is_read = now_ns - self._journal_ns < int(self._options.blind_s * SECOND_NS)
        return is_read and self._sight.open is not None and not self._is_exchange_unread(now_ns)

    def _is_exchange_unread(self, now_ns: int) -> bool:
        sight, limit_s = self._sight, self._options.blind_s
        if sight.problem is None:
            # Between two looks there is nothing wrong.
            limit_s = max(limit_s, OVERDUE * sight.every_s)
        return now_ns - sight.read_ns >= int(limit_s * SECOND_NS)

    # Sending

    def _send_once(self, message: Message | None, now_ns: int) -> None:
        due = None if message is None else self._episodes.tell_once(message, now_ns)
        if due is not None:
            self._once.append(due)

    def _send_all(self, messages: Iterable[Message]) -> None:
        """Send messages; many of a kind at once are one mail."""
        kinds: dict[tuple[str, str], list[Message]] = {}
        for message in messages:
            kinds.setdefault((message.alert, message.stage), []).append(message)
        for group in kinds.values():
            if len(group) > MOST_AT_ONCE:
                self._send(*group)
            else:
                for message in group:
                    self._send(message)

    def _send(self, *messages: Message) -> None:
        """Send messages of a kind as one mail."""
        if self._services is None:
            for message in messages:
                self._report(message, (), NO_SERVICE)
            return
        first = messages[0]
        is_urgent = first.stage != "over" and first.alert != "digest"
        mail = (
            Mail(first.title, first.text, is_urgent) if len(messages) == 1 else mail_of(messages, is_urgent)
        )
        delivery = self._services.send(mail)
        self._deliveries += [(message, delivery) for message in messages]

    def _collect(self) -> None:
        """Record what became of messages."""
        now = time.monotonic()
        waiting = []
        for message, delivery in self._deliveries:
            if delivery.is_over(now):
                self._conclude(message, delivery)
            else:
                waiting.append((message, delivery))
        self._deliveries = waiting

    def _conclude(self, message: Message, delivery: Delivery) -> None:
        failures = delivery.failures
        error = "; ".join(f"{name}: {why}" for name, why in failures.items()) or None
        if delivery.taken:
            self._episodes.confirm(message)
            self._retries.forget(message)
        elif message.since is None:
            self._retries.note(message, time.time_ns())
        else:
            self._episodes.untell(message, time.time_ns())
        self._report(message, delivery.taken, error)

    def _report(self, message: Message, to: tuple[str, ...], error: str | None) -> None:
        sent = alert_sent(message, to, error)
        if message.alert == "digest" and to:
            # So that `last_told` knows it in this process, too.
            self._episodes.tell_once(message, time.time_ns(), 0)
        self._record(sent)
        with contextlib.suppress(OSError):
            self._show(sent)


ABOUT_ACCOUNTS: Final[Mapping[str, type[PositionSeen] | type[ExchangeUpdate]]] = {
    "position_seen": PositionSeen,
    "exchange_update": ExchangeUpdate,
}
"""The facts that are about one account."""

OVER: Final = {
    "blind": "the {} can be read again",
    "hands_off": "the exit executor can act again",
}
"""What is said of the kinds of trouble that can be seen at any moment, once they are over."""


def mail_of(messages: Sequence[Message], is_urgent: bool) -> Mail:
    """Return one mail of many messages; the first ones are whole."""
    first, rest = messages[:MOST_AT_ONCE], messages[MOST_AT_ONCE:]
    whole = [f"{message.title}\n{message.text}" for message in first]
    titles = [message.title for message in rest[:MOST_TITLES]]
    more = [f"and {len(rest) - len(titles)} more"] if len(rest) > len(titles) else []
    text = "\n\n".join([*whole, "\n".join([*titles, *more])])
    return Mail(f"{len(messages)} alerts at once: {messages[0].title}", text, is_urgent)


def alert_sent(message: Message, to: tuple[str, ...], error: str | None) -> AlertSent:
    """Return the event that says what became of a message."""
    return AlertSent(**message._asdict(), to=to, is_sent=error is None, error=error)


def _ignore(_: Life | Span) -> None:
    """Keep nothing."""
