"""Looks at the exchange, shared by whoever asks, within a budget of request weight."""

import asyncio
import itertools
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from typing import Any, Final, TypeAlias

from exit_shim.clients.registry import can_be_cloned, is_genuine, support_of
from exit_shim.domain.accounts import exchange_of
from exit_shim.domain.orders import upper
from exit_shim.guard.exchange_snapshot import Snapshot
from exit_shim.guard.snapshot_reads import (
    COULD_NOT_BE_ASKED,
    TIMED_OUT,
    USELESS_AFTER_S,
    Answers,
    Asking,
    Clones,
    Unseen,
    reads_of,
    weight_of,
)
from exit_shim.resolving import Budget, UsedWeights
from exit_shim.resolving.weight import WEIGHT_LIMIT
from exit_shim.runtime.reentrancy import ReentrantState

__all__ = ["Snapshots", "Unseen"]

SERVES_S: Final = USELESS_AFTER_S
"""How long a look serves other questions, counted from when it was asked."""

HEARD_SERVES_S: Final = 30.0
"""The same while the user data stream tells of all that changes."""

MOST_LOOKS: Final = 25
"""Looks that may be under way; an exchange that answers drop by drop must not use up the threads."""

MOST_KEPT: Final = 2_000
"""Symbols whose last look is kept."""

LOOKS_AGAIN: Final = 2
"""How often a look is repeated during which something was sent on its symbol."""

OVER_BUDGET: Final = Unseen("over_budget")

Key: TypeAlias = tuple[str | None, str | None]
Begin: TypeAlias = Callable[[Asking, Answers], None]


class Look:
    """One look: when it began, until when it is waited for, and the answer to come.

    `number` says what came first: questions, looks and ends of what was seen are counted together.
    """

    __slots__ = ("answer", "answers", "asked", "began", "in_threads", "number", "until")

    def __init__(self, number: int, began: float, until: float, *, in_threads: bool) -> None:
        self.number = number
        self.in_threads = in_threads
        self.began = began
        self.until = until
        self.asked = time.time_ns()
        self.answer: Future[Snapshot | Unseen] = Future()
        # Whoever gives up waiting must not be able to cancel it for the others.
        self.answer.set_running_or_notify_cancel()
        self.answers: Answers | None = None


class Snapshots(ReentrantState):
    """Share looks at the exchange; thread-safe, and fresh in a child after `fork`.

    A client without an account's label shares nothing: it may be anybody's.

    Args:
        within_s: The longest that a look takes.
        share: Of the request weight of an address, the part that looks may use.
        why_unsure: Says why what is known of an account and symbol may be wrong; None where it is not.
        clock: Seconds that only go forward.
        on_trouble: Told of what fails in here.
    """

    def __init__(
        self,
        *,
        within_s: float = 0.5,
        share: float = 0.25,
        why_unsure: Callable[[str | None, str | None], str | None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
        on_trouble: Callable[[str, Exception], None] = lambda *_: None,
    ) -> None:
        self._on_trouble = on_trouble
        self._within_s = within_s
        self._weight_a_minute = int(share * WEIGHT_LIMIT)
        self._why_unsure = why_unsure
        self._clock = clock
        self._counter = itertools.count(1)
        self._budgets: dict[str, Budget] = {}
        self._clones = Clones()
        self.used = UsedWeights()
        super().__init__()

    def renew(self) -> None:
        """Have seen nothing, and have no look under way: its threads are the parent's."""
        super().renew()
        self._under_way: dict[Key, Look] = {}
        self._seen: dict[Key, tuple[Look, Snapshot]] = {}
        self._expired: dict[Key, int] = {}
        self._all_expired: dict[str | None, int] = {}
        self._heard_since: dict[str | None, int] = {}
        self._running = 0

    def get(
        self, client: Any, account: str | None, symbol: str | None, *, fresh: bool = False
    ) -> Snapshot | Unseen:
        """Return what rests and is open on a symbol.

        Args:
            client: The bot's, not wrapped; sync, or an AsyncClient of python-binance's own.
            account: Its account's label.
            symbol: Which; None: all, which costs ten times as much.
            fresh: Whether the look must begin after this question.
        """
        asking = self._ask(client, account, symbol, fresh, Asking.begin)
        while True:
            step = self._next(asking)
            if isinstance(step, Snapshot | Unseen):
                return step
            look, until = step
            wait((look.answer,), timeout=max(until - self._clock(), 0))  # what is raised here is the caller's

    async def get_async(
        self, client: Any, account: str | None, symbol: str | None, *, fresh: bool = False
    ) -> Snapshot | Unseen:
        """Return the same with an async client; the event loop goes on meanwhile."""
        asking = self._ask(client, account, symbol, fresh, Asking.begin_async)
        while True:
            step = self._next(asking)
            if isinstance(step, Snapshot | Unseen):
                return step
            look, until = step
            awaited = asyncio.wrap_future(look.answer)
            await asyncio.wait({awaited}, timeout=max(until - self._clock(), 0))

    def _next(
        self, asking: Generator[tuple["Look", float], None, Snapshot | Unseen]
    ) -> tuple["Look", float] | Snapshot | Unseen:
        """Return what to wait for next, or what was seen; a failure of our own is a reason not to see."""
        try:
            return next(asking)
        except StopIteration as done:
            found: Snapshot | Unseen = done.value
            return found
        except Exception as error:  # noqa: BLE001
            self._on_trouble("look at the exchange", error)
            return COULD_NOT_BE_ASKED

    def expire(self, account: str | None, symbol: str | None) -> None:
        """Stop serving what was seen of a symbol, or of all (None), before this moment.

        Who waits for a look that is under way looks again, at most twice; with the last answer it makes do.
        """
        with self._lock:
            number = next(self._counter)
            if symbol is None:
                self._all_expired[account] = number
                return
            if len(self._expired) > MOST_KEPT:  # with nothing seen, nothing can be served that has ended
                for kept in (self._seen, self._under_way, self._expired):
                    kept.clear()
            # Of all symbols together, a look is over too.
            self._expired[account, upper(symbol)] = self._expired[account, None] = number

    def hears(self, account: str | None, *, is_heard: bool) -> None:
        """Take note that a user data stream tells of everything on an account from now on, or no more."""
        with self._lock:
            if is_heard:
                self._heard_since[account] = next(self._counter)
            else:
                self._heard_since.pop(account, None)

    def close(self) -> None:
        """Let go of the connections; a later look makes new ones."""
        self._clones.close()

    def _ask(
        self, client: Any, account: str | None, symbol: str | None, fresh: bool, begin: Begin
    ) -> Generator[tuple[Look, float], None, Snapshot | Unseen]:
        """Yield looks to wait for, each with the time until which, and return what one of them saw."""
        key = account, None if symbol is None else upper(symbol)
        with self._lock:
            asked = next(self._counter)
        until = self._clock() + self._within_s
        mixed: list[Snapshot] = []
        while True:
            found = self._find_or_begin(key, asked if fresh else 0, client, begin)
            if isinstance(found, Unseen) and mixed:
                return mixed[-1]
            if isinstance(found, (Snapshot, Unseen)):
                return found
            look, suits = found
            yield look, min(until, look.until)
            seen = self._answer_of(look) if suits else TIMED_OUT
            if isinstance(seen, Snapshot):
                # Something was sent meanwhile: the list may have an owner's stop that was replaced, and lack
                # the new one. It would look as if no owner's stop covered the position.
                if self._ended(key) <= look.number:
                    return seen
                mixed.append(seen)
            elif suits:
                return mixed[-1] if mixed else seen
            if self._clock() >= until or len(mixed) > LOOKS_AGAIN:
                return mixed[-1] if mixed else TIMED_OUT

    def _answer_of(self, look: Look) -> Snapshot | Unseen:
        """Return what a look that was waited for has seen by now."""
        if look.answers is not None and not look.answer.done():
            look.answers.settle()
        return look.answer.result() if look.answer.done() else TIMED_OUT

    def _find_or_begin(
        self, key: Key, after: int, client: Any, begin: Begin
    ) -> Snapshot | Unseen | tuple[Look, bool]:
        """Return what was seen, or why nothing can be; or a look to wait for, and whether it suits."""
        # Before the lock: the book has its own, and its holder may be waiting for this one.
        is_heard = key[0] in self._heard_since and self._why_unsure(*key) is None
        with self._lock:
            now = self._clock()
            after = max(after, self._ended(key))
            if key[0] is not None:
                seen = self._seen.get(key)
                if seen is not None and seen[0].number > after and self._serves(key, seen[0], now, is_heard):
                    return seen[1]
                look = self._under_way.get(key)
                if look is not None and now < look.until:
                    return look, look.number > after
            asking = self._afford(key, client)
            if isinstance(asking, Unseen):
                return asking
            # The tasks of an event loop end with it, and may never say so.
            in_threads = begin is not Asking.begin_async or can_be_cloned(client)
            look = Look(next(self._counter), now, now + self._within_s, in_threads=in_threads)
            look.answers = Answers(
                reads_of(key[1]),
                lambda found: self._take(key, look, found),
                lambda: self._end(key, look),
            )
            self._under_way[key] = look
            self._running += in_threads
        try:
            begin(asking, look.answers)
        except BaseException:  # an interrupt: reads that did not begin would never end
            for name in reads_of(key[1]):
                look.answers.fail(name)
            raise
        return look, True

    def _ended(self, key: Key) -> int:
        """Return the number of the last end of what was seen."""
        return max(self._expired.get(key, 0), self._all_expired.get(key[0], 0))

    def _serves(self, key: Key, look: Look, now: float, is_heard: bool) -> bool:
        if now - look.began <= SERVES_S:
            return True
        heard_since = self._heard_since.get(key[0])
        return (
            is_heard
            and heard_since is not None
            and look.number > heard_since
            and now - look.began <= HEARD_SERVES_S
        )

    def _afford(self, key: Key, client: Any) -> Asking | Unseen:
        """Spend the weight of a look; `Unseen` where that must not be."""
        place, weight = exchange_of(key[0]), weight_of(key[1])
        used = self.used.at(place)
        if is_genuine(client):
            used.heed_bots(support_of(client).last_answer(client))
        budget = self._budgets.get(place)
        if budget is None:
            budget = self._budgets[place] = Budget(self._weight_a_minute, self._clock)
        if weight > self._weight_a_minute or budget.wait_s(weight) > 0 or not used.has_room_for(weight):
            return OVER_BUDGET
        if self._running >= MOST_LOOKS:
            return TIMED_OUT
        budget.spend(weight)
        used.spend(weight)
        # An answer that comes too late for who asked may be in time for others.
        return Asking(client, key[1], max(self._within_s, USELESS_AFTER_S), used, self._clones)

    def _take(self, key: Key, look: Look, found: Snapshot | Unseen) -> None:
        """Take in what a look saw, however late it comes."""
        with self._lock:
            self._drop(key, look)
            latest = self._seen.get(key)
            if isinstance(found, Snapshot):
                found = found._replace(asked=look.asked)
            if isinstance(found, Snapshot) and (latest is None or latest[0].number < look.number):
                if len(self._seen) >= MOST_KEPT:
                    self._seen.clear()
                if key[0] is not None:
                    self._seen[key] = look, found
        look.answer.set_result(found)

    def _end(self, key: Key, look: Look) -> None:
        with self._lock:
            self._drop(key, look)
            self._running -= look.in_threads

    def _drop(self, key: Key, look: Look) -> None:
        if self._under_way.get(key) is look:
            del self._under_way[key]
