"""Looks at the exchange, shared by whoever asks, within a budget of request weight."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Final, TypeAlias

from exit_shim.clients.account_clients import AccountClients
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
"""How long the answer of a look serves other questions, counted from when it was asked."""

HEARD_SERVES_S: Final = 30.0
"""How long it serves while the user data stream reports everything that changes."""

MAX_LOOKS: Final = 25
"""Looks under way at once: an exchange that answers drop by drop must not use up the threads."""

MAX_SYMBOLS: Final = 2_000
"""Symbols whose last look is remembered."""

MAX_REPEATS: Final = 2
"""How often a look is repeated during which something was sent on its symbol."""

OVER_BUDGET: Final = Unseen("over_budget")

Key: TypeAlias = tuple[str | None, str | None]
Begin: TypeAlias = Callable[[Asking, Answers], None]


class Look:
    """One look at the exchange.

    Attributes:
        number: Says what came first: questions, looks and ends of snapshots are counted together.
        in_threads: Whether threads of ours read, which say when they have ended.
        began: When it began, on the clock.
        until: Until when it is waited for, on the clock.
        asked: When the exchange was asked, in ns since the epoch.
        answer: What it sees, once it does.
        answers: Gathers the answers of its reads.
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


class Question:
    """One question for a snapshot: what it waits for, and what it gets.

    Attributes:
        key: The account and symbol that it is about.
        client: The client to ask with.
        begin: Begins a look with that client.
        number: When it was asked, if only a look that begins afterwards will do; 0 for any.
        until: Until when it waits, on the clock.
        answer: What was seen, or why nothing was.
        mixed: How many looks were made during which something was sent.
    """

    __slots__ = ("answer", "begin", "client", "key", "mixed", "number", "until")

    def __init__(self, key: Key, client: Any, begin: Begin, number: int, until: float) -> None:
        self.key = key
        self.client = client
        self.begin = begin
        self.number = number
        self.until = until
        self.answer: Snapshot | Unseen = COULD_NOT_BE_ASKED
        self.mixed = 0

    def settle(self, answer: Snapshot | Unseen) -> None:
        """Set the answer; a reason for not seeing does not replace a snapshot."""
        if isinstance(answer, Snapshot) or not isinstance(self.answer, Snapshot):
            self.answer = answer


class Snapshots(ReentrantState):
    """Share looks at the exchange; thread-safe, and fresh in a child after `fork`.

    Args:
        within_s: The longest that a look takes.
        share: The part of an address's request weight that looks may use.
        why_unsure: Returns why what is known of an account and symbol may be wrong; None where it is right.
        clock: Returns seconds that only go forward.
        report: Takes an internal error and the step that it was met in.
    """

    def __init__(
        self,
        *,
        within_s: float = 0.5,
        share: float = 0.25,
        why_unsure: Callable[[str | None, str | None], str | None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
        report: Callable[[str, Exception], None] = lambda *_: None,
    ) -> None:
        self._report = report
        self._within_s = within_s
        self._weight_a_minute = int(share * WEIGHT_LIMIT)
        self._why_unsure = why_unsure
        self._clock = clock
        self._counter = itertools.count(1)
        self._budgets: dict[str, Budget] = {}
        self._clones = Clones()
        self.used = UsedWeights()
        self.clients = AccountClients()
        super().__init__()

    def renew(self) -> None:
        """Forget all snapshots and looks: after a fork their threads are the parent's."""
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
            client: The bot's client, not wrapped; sync, or an AsyncClient of python-binance's own.
            account: Its account's label.
            symbol: The symbol; None for all of them, which costs ten times as much.
            fresh: Whether the look must begin after this question.
        """
        question = self._ask(client, account, symbol, Asking.begin, fresh=fresh)
        # What is raised while it waits is the caller's own, such as a time limit by a signal.
        for look, seconds in self._waits(question):
            wait((look,), timeout=seconds)
        return question.answer

    async def get_async(
        self, client: Any, account: str | None, symbol: str | None, *, fresh: bool = False
    ) -> Snapshot | Unseen:
        """Return what `get` does, with an async client; the event loop goes on meanwhile."""
        question = self._ask(client, account, symbol, Asking.begin_async, fresh=fresh)
        for look, seconds in self._waits(question):
            await asyncio.wait({asyncio.wrap_future(look)}, timeout=seconds)
        return question.answer

    def expire(self, account: str | None, symbol: str | None) -> None:
        """Stop serving snapshots of a symbol, or of all (None), that were taken before this moment.

        Whoever waits for a look that is under way looks again, at most twice, and then uses the last answer.
        """
        with self._lock:
            number = next(self._counter)
            if symbol is None:
                self._all_expired[account] = number
                return
            # With nothing seen, nothing can be served that has expired.
            if len(self._expired) > MAX_SYMBOLS:
                for looks in (self._seen, self._under_way, self._expired):
                    looks.clear()
            # A look at all symbols together shows this one, too.
            self._expired[account, upper(symbol)] = self._expired[account, None] = number

    def hears(self, account: str | None, *, is_heard: bool) -> None:
        """Remember that a user data stream reports everything on an account from now on, or no more."""
        with self._lock:
            if is_heard:
                self._heard_since[account] = next(self._counter)
            else:
                self._heard_since.pop(account, None)

    def close(self) -> None:
        """Close the connections; a later look makes new ones."""
        self._clones.close()

    def _ask(
        self, client: Any, account: str | None, symbol: str | None, begin: Begin, *, fresh: bool
    ) -> Question:
        key = account, None if symbol is None else upper(symbol)
        client = self.clients.asking(client, account)
        with self._lock:
            number = next(self._counter)
        return Question(key, client, begin, number if fresh else 0, self._clock() + self._within_s)

    def _waits(self, question: Question) -> Iterator[tuple["Future[Snapshot | Unseen]", float]]:
        """Yield each look to wait for, with the seconds; afterwards the question has its answer."""
        try:
            while True:
                found = self._find_or_begin(question)
                if isinstance(found, (Snapshot, Unseen)):
                    question.settle(found)
                    return
                look, suits = found
                yield look.answer, max(min(question.until, look.until) - self._clock(), 0)
                if suits and self._settles(question, look):
                    return
                if self._clock() >= question.until or question.mixed > MAX_REPEATS:
                    question.settle(TIMED_OUT)
                    return
        except Exception as error:  # noqa: BLE001 - a failure of ours is a reason not to see
            self._report("look at the exchange", error)

    def _settles(self, question: Question, look: Look) -> bool:
        """Give a question what a look has seen; return whether it need not look again."""
        seen = self._answer_of(look)
        question.settle(seen)
        if not isinstance(seen, Snapshot) or self._expired_at(question.key) <= look.number:
            return True
        # Something was sent meanwhile: the list may have an owner's stop that was replaced, and lack the new
        # one. It would look as if no owner's stop covered the position.
        question.mixed += 1
        return False

    def _answer_of(self, look: Look) -> Snapshot | Unseen:
        """Return what a look that was waited for has seen by now."""
        if look.answers is not None and not look.answer.done():
            look.answers.settle()
        return look.answer.result() if look.answer.done() else TIMED_OUT

    def _find_or_begin(self, question: Question) -> Snapshot | Unseen | tuple[Look, bool]:
        """Return what was seen, or why nothing can be; or a look to wait for, and whether it will do."""
        key, client = question.key, question.client
        # Before the lock: the book has its own, and its holder may be waiting for this one.
        is_heard = key[0] in self._heard_since and self._why_unsure(*key) is None
        with self._lock:
            now, after = self._clock(), max(question.number, self._expired_at(key))
            # A client without an account's label shares nothing: it may be anybody's.
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
            in_threads = question.begin is not Asking.begin_async or can_be_cloned(client)
            look = Look(next(self._counter), now, now + self._within_s, in_threads=in_threads)
            look.answers = Answers(
                reads_of(key[1]), partial(self._take, key, look), partial(self._end, key, look)
            )
            self._under_way[key] = look
            self._running += in_threads
        self._begin(question, asking, look.answers)
        return look, True

    def _begin(self, question: Question, asking: Asking, answers: Answers) -> None:
        try:
            question.begin(asking, answers)
        except BaseException:
            # An interrupt: reads that did not begin would never end.
            for name in reads_of(question.key[1]):
                answers.fail(name)
            raise

    def _expired_at(self, key: Key) -> int:
        """Return the number of the event that ended the snapshots of a symbol last."""
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
        """Spend the weight of a look and return what to ask with, or why nothing may be asked."""
        host, weight = exchange_of(key[0]), weight_of(key[1])
        used = self.used.at(host)
        if is_genuine(client):
            used.heed_bots(support_of(client).last_answer(client))
        budget = self._budgets.get(host)
        if budget is None:
            budget = self._budgets[host] = Budget(self._weight_a_minute, self._clock)
        if weight > self._weight_a_minute or budget.wait_s(weight) > 0 or not used.has_room_for(weight):
            return OVER_BUDGET
        if self._running >= MAX_LOOKS:
            return TIMED_OUT
        budget.spend(weight)
        used.spend(weight)
        # An answer that comes too late for who asked may be in time for others.
        return Asking(client, key[1], max(self._within_s, USELESS_AFTER_S), used, self._clones)

    def _take(self, key: Key, look: Look, answer: Snapshot | Unseen) -> None:
        """Remember what a look saw, however late it comes."""
        with self._lock:
            self._drop(key, look)
            latest = self._seen.get(key)
            if isinstance(answer, Snapshot):
                answer = answer._replace(asked=look.asked)
            if isinstance(answer, Snapshot) and (latest is None or latest[0].number < look.number):
                if len(self._seen) >= MAX_SYMBOLS:
                    self._seen.clear()
                if key[0] is not None:
                    self._seen[key] = look, answer
        look.answer.set_result(answer)

    def _end(self, key: Key, look: Look) -> None:
        with self._lock:
            self._drop(key, look)
            self._running -= look.in_threads

    def _drop(self, key: Key, look: Look) -> None:
        if self._under_way.get(key) is look:
            del self._under_way[key]
