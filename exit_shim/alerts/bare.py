"""Decide which bare positions to send alerts about, and word the alerts. Pure: the clock is an argument."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from exit_shim.alerts.episodes import Episodes, Message, Trouble
from exit_shim.alerts.wording import SECOND_NS, amount_text, duration, lines, plain
from exit_shim.domain.events import ExchangeUpdate
from exit_shim.reports.lives import Id, Life, PositionName, ids_of
from exit_shim.reports.timeline import ENDS, PositionState

BARE: Final = "bare"

GRACE_S: Final = 5.0
"""How long a position may be bare before an alert is sent: a stop is often replaced by cancel and place."""

AGAIN_NS: Final = 5 * SECOND_NS
"""How soon the exchange is asked again about a position, where its answer called for no message."""

UNCLEAR_NS: Final = SECOND_NS
"""How long the exchange is left alone about a position of which it is not known what covers it."""

UNCLEAR_AGAIN_NS: Final = tuple(seconds * SECOND_NS for seconds in (5, 10, 20, 60))
"""How soon it is asked again about one of which its answers did not show what covers it."""

MOST_ENDS: Final = 10_000
"""The ended orders of which the exchange's time is remembered."""

HOW_ENDED: Final[Mapping[str, str]] = {
    "filled": "was triggered or filled",
    "expired": "expired at the exchange",
    "gone": "is no longer listed by the exchange, and no record says who took it away: by hand, by the "
    "exchange, or by a program without the shim",
    "cancelled": "was cancelled, and no record says by whom: by hand, or by a program without the shim",
    "changed": "was changed, and no record says by whom",
}


class Sighting(NamedTuple):
    """What the exchange showed of a position when it was asked once more.

    Attributes:
        amount: How much is held, negative for a short position; 0 where it is not open.
        uncovered: How much of it no stop closes.
        mark: The mark price, as text.
    """

    amount: Decimal
    uncovered: Decimal
    mark: str | None = None

    @property
    def is_bare(self) -> bool:
        """Whether no stop closes any of it."""
        return bool(self.amount) and self.uncovered >= abs(self.amount)


class BarePositions:
    """Decide which bare positions to tell of.

    Args:
        episodes: What was told so far.
        stamp: Writes a time for people.
        grace_s: How long a position may be bare.
        also_partly: Whether to tell of positions that stops close in part, too.
    """

    def __init__(
        self,
        episodes: Episodes,
        stamp: Callable[[int], str],
        grace_s: float = GRACE_S,
        *,
        also_partly: bool = False,
    ) -> None:
        self._episodes = episodes
        self._stamp = stamp
        self._grace_ns = int(grace_s * SECOND_NS)
        self._covers = {"bare", "partly"} if also_partly else {"bare"}
        self._ends: OrderedDict[Id, int] = OrderedDict()
        # When it was asked last about a position, and how often in a row that left unclear what covers it.
        self._asked: dict[PositionName, tuple[int, int]] = {}

    def take_update(self, update: ExchangeUpdate, offset_ns: int = 0) -> None:
        """Remember when an exit ended by the exchange's clock, which is `offset_ns` ahead of ours."""
        if update.at is None or update.status not in ENDS:
            return
        for key in ids_of(update.account, update):
            self._ends[key] = update.at - offset_ns
        while len(self._ends) > MOST_ENDS:
            self._ends.popitem(last=False)

    def bare_since(self, state: PositionState) -> int:
        """Return when a position was bared: by the exchange's word where there is one."""
        ids = state.last_stop.ids if state.last_stop is not None else ()
        told = (self._ends[key] for key in ids if key in self._ends)
        return min(state.since_ns, next(told, state.since_ns))

    def due(self, states: Iterable[PositionState], now_ns: int) -> list[PositionState]:
        """Return the positions to ask the exchange about once more.

        A bare one, if there is a message should the exchange agree; and one of which it is not known whether
        anything covers it.
        """
        return [
            state
            for state in states
            if state.amount
            and self._may_ask(state, now_ns)
            and (self._is_unclear(state, now_ns) or self._is_due(state, now_ns))
        ]

    def _may_ask(self, state: PositionState, now_ns: int) -> bool:
        asked_ns, unclear = self._asked.get(state.position, (0, 0))
        if state.cover != "unknown" or not unclear:
            return now_ns - asked_ns >= AGAIN_NS
        return now_ns - asked_ns >= UNCLEAR_AGAIN_NS[min(unclear, len(UNCLEAR_AGAIN_NS)) - 1]

    def _note_asked(self, state: PositionState, now_ns: int) -> None:
        """Note that the exchange showed nothing to tell of: it is in the record, and decides from here on."""
        asked_ns, unclear = self._asked.get(state.position, (0, 0))
        is_again = now_ns - asked_ns < 2 * UNCLEAR_AGAIN_NS[-1]
        still = unclear + 1 if is_again else 1
        self._asked[state.position] = now_ns, still if state.cover == "unknown" else 0

    def set_back(self) -> None:
        """Take it that the clock was set back: ask about any position at once."""
        self._asked.clear()

    def _is_unclear(self, state: PositionState, now_ns: int) -> bool:
        return state.cover == "unknown" and now_ns - state.since_ns >= UNCLEAR_NS

    def _is_due(self, state: PositionState, now_ns: int) -> bool:
        is_over_grace = now_ns - self.bare_since(state) >= self._grace_ns
        is_bare = state.cover in self._covers and is_over_grace
        return is_bare and self._episodes.is_due(BARE, key_of(state.position), now_ns)

    def advance(
        self, states: Collection[PositionState], seen: Mapping[PositionName, Sighting], now_ns: int
    ) -> Iterator[Message]:
        """Yield the messages that are due.

        Args:
            states: How the positions are.
            seen: What the exchange showed of those in `due`; one that could not be asked about is missing.
            now_ns: The clock.
        """
        for state in states:
            sighting = seen.get(state.position)
            if sighting is not None:
                message = self._confirm(state, sighting, now_ns)
            else:
                message = self._end(state, now_ns)
            if message is not None:
                yield message

    def end_closed(self, open_: Collection[PositionName], account: str | None, now_ns: int) -> list[Message]:
        """End what was told of positions of an account that are not open any more.

        Args:
            open_: The open positions.
            account: The account's label.
            now_ns: The clock.
        """
        names = {key_of(name) for name in open_}
        messages = []
        for key in self._episodes.open_keys(BARE):
            label, symbol, _ = key.rsplit(" ", 2)
            if label == (account or "-") and key not in names:
                messages.append(self._episodes.end(BARE, key, now_ns, f"{plain(symbol)} is flat again"))
        return [message for message in messages if message is not None]

    def _confirm(self, state: PositionState, sighting: Sighting, now_ns: int) -> Message | None:
        is_partly_bare = "partly" in self._covers and bool(sighting.amount and sighting.uncovered)
        if state.cover not in self._covers or not (sighting.is_bare or is_partly_bare):
            self._note_asked(state, now_ns)
            return None
        since_ns = self.bare_since(state)
        trouble = Trouble(
            BARE,
            key_of(state.position),
            since_ns,
            title_of(state.position, sighting),
            self._text(state, sighting, since_ns, now_ns),
        )
        return self._episodes.hold(trouble, now_ns)

    def _end(self, state: PositionState, now_ns: int) -> Message | None:
        is_settled = now_ns - state.since_ns >= self._episodes.settle_ns
        if state.cover == "flat":
            how = "flat"
        elif state.cover == "covered" and is_settled:
            how = "covered"
        else:
            return None
        symbol = plain(state.position.symbol)
        text = lines(("account", plain(state.position.account or "")), ("now", self._covered_by(state)))
        return self._episodes.end(
            BARE, key_of(state.position), state.since_ns, f"{symbol} is {how} again", text
        )

    @staticmethod
    def _covered_by(state: PositionState) -> str:
        stops = [life for life in state.exits if life.is_stop]
        return "" if state.cover != "covered" or not stops else f"covered by {stop_text(stops[-1])}"

    def _text(self, state: PositionState, sighting: Sighting, since_ns: int, now_ns: int) -> str:
        name = state.position
        side = "LONG" if sighting.amount > 0 else "SHORT"
        mark = sighting.mark or state.mark_price
        size = f"{side} {amount_text(sighting.amount)}" + (f", mark price {plain(mark)}" if mark else "")
        return lines(
            ("account", plain(name.account or "without a label")),
            ("position", f"{plain(name.symbol)} {size}"),
            ("bare", f"since {self._stamp(since_ns)}, for {duration(now_ns - since_ns)}"),
            ("by", who_bared(state.last_stop)),
            ("next", f"exit-shim why {plain(name.symbol)}"),
        )


def key_of(name: PositionName) -> str:
    """Return what an alert about a position is about."""
    return f"{name.account or '-'} {name.symbol} {name.position_side}"


def title_of(name: PositionName, sighting: Sighting) -> str:
    """Return the first line of a message about a bare position."""
    side = "long" if sighting.amount > 0 else "short"
    size = amount_text(sighting.amount)
    if sighting.is_bare:
        return f"{plain(name.symbol)} is bare: no stop closes its {side} position of {size}"
    part = amount_text(sighting.uncovered)
    return f"{plain(name.symbol)} is partly bare: no stop closes {part} of its {side} position of {size}"


def stop_text(life: Life) -> str:
    """Return a stop by its id, and who placed it."""
    owner = f"{plain(life.module)}'s" if life.module is not None else "the"
    level = "" if life.level is None else f" at {life.level:f}"
    return f"{owner} {plain(life.type or 'stop')} {plain(life.name)}{level}"


def who_bared(last_stop: Life | None) -> str:
    """Return who took the last stop away, from where."""
    if last_stop is None:
        return "nobody known: no stop of it was seen since this was first seen"
    by = last_stop.ended_by
    if by is None:
        how = HOW_ENDED.get(last_stop.end or "", "ended")
        return f"{stop_text(last_stop)} {how}"
    place = " ".join(plain(part) for part in (by.function, by.place) if part not in {"", "?"})
    verb = "changed" if last_stop.end == "changed" else "cancelled"
    return f"{plain(by.module)}" + (f" ({place})" if place else "") + f" {verb} {stop_text(last_stop)}"
