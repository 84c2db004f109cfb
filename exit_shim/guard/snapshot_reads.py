"""The reads of one look at the exchange: sent at once, by cloned clients."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.clients.accounts import label_of
from exit_shim.clients.registry import can_be_cloned, clone_client, is_genuine, support_of
from exit_shim.guard.exchange_snapshot import (
    LAST_PRICE,
    LISTS,
    READS,
    Question,
    Snapshot,
    UnreadableError,
    question,
    snapshot_from,
)
from exit_shim.resolving import UsedWeight
from exit_shim.runtime.reentrancy import ReentrantState

THREAD: Final = "exit-shim-look"

USELESS_AFTER_S: Final = 1.0
"""How old an answer may be and still serve anybody."""

MAX_IDLE: Final = 16
"""Idle clients of one account that are kept for the next look, each with a connection."""

WEIGHTS: Final[Mapping[str, tuple[int, int]]] = {
    "orders": (1, 40),
    "algos": (1, 40),
    "positions": (5, 5),
    LAST_PRICE: (1, 2),
}
"""The request weight of each read: of one symbol, and of all symbols."""


class Unseen(NamedTuple):
    """The reason why the exchange was not seen: "over_budget", "timed_out" or "could_not_be_asked"."""

    why: str


TIMED_OUT: Final = Unseen("timed_out")
COULD_NOT_BE_ASKED: Final = Unseen("could_not_be_asked")


def reads_of(symbol: str | None) -> tuple[str, ...]:
    """Return the names of the reads of a look; all symbols together have no last price."""
    return tuple(LISTS if symbol is None else READS)


def weight_of(symbol: str | None) -> int:
    """Return the request weight of a look."""
    return sum(WEIGHTS[name][symbol is None] for name in reads_of(symbol))


class Answers:
    """Gather the answers of one look.

    Args:
        names: The reads that are sent.
        on_seen: Takes what they show, once, as soon as they do.
        on_end: Called when no read is under way any more.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        on_seen: Callable[[Snapshot | Unseen], None],
        on_end: Callable[[], None],
    ) -> None:
        self._lock = threading.RLock()
        self._waiting = set(names)
        self._answers: dict[str, Any] = {}
        self._has_failed = False
        self._is_reported = False
        self._on_seen = on_seen
        self._on_end = on_end

    def take(self, name: str, answer: Any) -> None:
        """Take the answer to one read."""
        self._answers[name] = answer
        self._end(name)

    def fail(self, name: str) -> None:
        """Give up one read; without the last price the others still make a snapshot."""
        self._has_failed = self._has_failed or name != LAST_PRICE
        self._end(name)

    def settle(self) -> None:
        """Use what is there now, if only the last price is missing."""
        self._report(self._waiting <= {LAST_PRICE})

    def _end(self, name: str) -> None:
        with self._lock:
            if name not in self._waiting:
                return
            self._waiting.discard(name)
            is_last = not self._waiting
        self._report(is_last or self._has_failed)
        if is_last:
            self._on_end()

    def _report(self, is_time: bool) -> None:
        with self._lock:
            if self._is_reported or not is_time:
                return
            self._is_reported = True
        self._on_seen(COULD_NOT_BE_ASKED if self._has_failed else read_answers(self._answers))


def read_answers(answers: Mapping[str, Any]) -> Snapshot | Unseen:
    """Return the snapshot that answers make; those of a mock or another product make none."""
    try:
        return snapshot_from(answers)
    except Exception:  # noqa: BLE001 - a row can hold anything
        return COULD_NOT_BE_ASKED


class Clones(ReentrantState):
    """Lends clones of the bot's client, which itself keeps its `response` and its connections."""

    def renew(self) -> None:
        """Forget all clones: after a fork their connections are the parent's."""
        super().renew()
        self._idle: dict[str | None, list[Any]] = {}

    def borrow(self, client: Any) -> Any:
        """Return a clone of a genuine client that nobody else uses."""
        # One read at a time: a client stores an answer on itself before it reads it.
        with self._lock:
            idle = self._idle.get(label_of(client))
            clone = idle.pop() if idle else None
        if clone is None:
            clone = clone_client(client).client()
        support_of(client).refresh_clone(clone, client)
        return clone

    def give_back(self, client: Any, clone: Any) -> None:
        """Keep a clone for the next read, or close it."""
        with self._lock:
            idle = self._idle.setdefault(label_of(client), [])
            if len(idle) < MAX_IDLE:
                idle.append(clone)
                return
        support_of(clone).close(clone)

    def close(self) -> None:
        """Close the clones that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for clones in idle.values():
            for clone in clones:
                support_of(clone).close(clone)


class Asking(NamedTuple):
    """The means of one look: whom it asks, about what, and for how long.

    Attributes:
        client: The bot's client.
        symbol: The symbol; None for all of them.
        patience: The seconds to wait for an answer.
        used: The request weight that the address has used.
        clones: Lends clients that ask in the place of the bot's.
    """

    client: Any
    symbol: str | None
    patience: float
    used: UsedWeight
    clones: Clones

    def begin(self, answers: Answers) -> None:
        """Send the reads from threads of our own."""
        names = reads_of(self.symbol)
        if can_be_cloned(self.client):
            for name in names:
                start_thread(self._read_with_clone, answers, (name,))
        else:
            # An adapter may hold a python-binance client, which would take one thread's answer for another's.
            start_thread(self._read_in_turn, answers, names)

    def begin_async(self, answers: Answers) -> None:
        """Send the reads with an async client; where it cannot be cloned, from tasks of its loop."""
        if can_be_cloned(self.client):
            self.begin(answers)
            return
        loop = asyncio.get_running_loop()
        for name in reads_of(self.symbol):
            # A task of its own, which the caller's time limit does not end.
            task = loop.create_task(self._read_async(answers, name))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
            loop.call_later(self.patience, task.cancel)

    def _read_with_clone(self, answers: Answers, names: tuple[str]) -> None:
        (name,) = names
        try:
            clone = self.clones.borrow(self.client)
            try:
                answer = self._answer(name, clone)
            finally:
                self.used.heed(support_of(clone).last_answer(clone))
                self.clones.give_back(self.client, clone)
        except Exception:  # noqa: BLE001 - whatever a transport raises is no answer
            answers.fail(name)
        else:
            answers.take(name, answer)

    def _read_in_turn(self, answers: Answers, names: tuple[str, ...]) -> None:
        left = list(names)
        try:
            while left:
                answer = self._answer(left[0], self.client)
                self._heed_own()
                answers.take(left.pop(0), answer)
        except Exception:  # noqa: BLE001 - whatever an adapter raises is no answer
            for name in left:
                answers.fail(name)

    async def _read_async(self, answers: Answers, name: str) -> None:
        try:
            ask = self._question(name, self.client)
            answer = EMPTY if ask is None else await ask()
        except asyncio.CancelledError:
            answers.fail(name)
            raise
        except Exception:  # noqa: BLE001 - whatever an adapter raises is no answer
            answers.fail(name)
        else:
            self._heed_own()
            answers.take(name, answer)

    def _answer(self, name: str, client: Any) -> Any:
        ask = self._question(name, client)
        answer = EMPTY if ask is None else ask()
        if asyncio.iscoroutine(answer):
            answer.close()
            raise UnreadableError(f"expected an answer of a sync method, got a coroutine of {client!r}")
        return answer

    def _question(self, name: str, client: Any) -> Question | None:
        return question(client, name, self.symbol, self.patience)

    def _heed_own(self) -> None:
        if is_genuine(self.client):
            self.used.heed_bots(support_of(self.client).last_answer(self.client))


EMPTY: Final[list[Any]] = []
"""The answer to a read that a client has no method for."""

_tasks: Final[set["asyncio.Task[None]"]] = set()
"""Reads that nobody may wait for any more; a loop keeps no strong reference to its tasks."""


def start_thread(read: Callable[[Answers, Any], None], answers: Answers, names: tuple[str, ...]) -> None:
    """Send reads from a daemon thread; where none can be started, they fail."""
    try:
        threading.Thread(target=read, args=(answers, names), name=THREAD, daemon=True).start()
    except RuntimeError:
        for name in names:
            answers.fail(name)
