"""The reads of one look at the exchange, asked at once, and the clients of our own that ask."""

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
"""When an answer is too old to serve anybody."""

MOST_IDLE: Final = 16
"""Clients of one account that are kept for the next look, each with a connection."""

WEIGHTS: Final[Mapping[str, tuple[int, int]]] = {
    "orders": (1, 40),
    "algos": (1, 40),
    "positions": (5, 5),
    LAST_PRICE: (1, 2),
}
"""The request weight of each read: of one symbol, and of all."""


class Unseen(NamedTuple):
    """Why the exchange was not seen: "over_budget", "timed_out" or "could_not_be_asked"."""

    why: str


TIMED_OUT: Final = Unseen("timed_out")
COULD_NOT_BE_ASKED: Final = Unseen("could_not_be_asked")


def reads_of(symbol: str | None) -> tuple[str, ...]:
    """Return the names of the reads of a look; of all symbols there is no one last price."""
    return tuple(LISTS if symbol is None else READS)


def weight_of(symbol: str | None) -> int:
    """Return the request weight of a look."""
    return sum(WEIGHTS[name][symbol is None] for name in reads_of(symbol))


class Answers:
    """Gather the answers of one look.

    Args:
        names: The reads that are asked.
        seen: Told what they say, once, as soon as they do.
        ended: Told when no read is under way any more.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        seen: Callable[[Snapshot | Unseen], None],
        ended: Callable[[], None],
    ) -> None:
        self._lock = threading.RLock()
        self._waiting = set(names)
        self._answers: dict[str, Any] = {}
        self._has_failed = False
        self._is_told = False
        self._seen = seen
        self._ended = ended

    def take(self, name: str, answer: Any) -> None:
        """Take the answer to one read."""
        self._answers[name] = answer
        self._end(name)

    def fail(self, name: str) -> None:
        """Give up one read; without the last price the others still make a stock."""
        self._has_failed = self._has_failed or name != LAST_PRICE
        self._end(name)

    def settle(self) -> None:
        """Make do with what is there now, if only the last price is missing."""
        self._tell(self._waiting <= {LAST_PRICE})

    def _end(self, name: str) -> None:
        with self._lock:
            if name not in self._waiting:
                return
            self._waiting.discard(name)
            is_last = not self._waiting
        self._tell(is_last or self._has_failed)
        if is_last:
            self._ended()

    def _tell(self, is_time: bool) -> None:
        with self._lock:
            if self._is_told or not is_time:
                return
            self._is_told = True
        self._seen(COULD_NOT_BE_ASKED if self._has_failed else read_answers(self._answers))


def read_answers(answers: Mapping[str, Any]) -> Snapshot | Unseen:
    """Make a stock of the answers; a mock's or another product's make none."""
    try:
        return snapshot_from(answers)
    except Exception:  # noqa: BLE001 - a row can hold anything
        return COULD_NOT_BE_ASKED


class Clones(ReentrantState):
    """Clients of our own that ask in the place of the bot's, which keeps its `response` and its connections.

    Each is used by one read at a time: a client keeps an answer on itself before it reads it.
    """

    def renew(self) -> None:
        """Have none: a parent's connections are its own."""
        super().renew()
        self._idle: dict[str | None, list[Any]] = {}

    def borrow(self, client: Any) -> Any:
        """Return a clone of a genuine client that nobody uses."""
        with self._lock:
            idle = self._idle.get(label_of(client))
            clone = idle.pop() if idle else None
        if clone is None:
            clone = clone_client(client).client()
        support_of(client).refresh_clone(clone, client)
        return clone

    def give_back(self, client: Any, clone: Any) -> None:
        """Keep a clone for the next read."""
        with self._lock:
            idle = self._idle.setdefault(label_of(client), [])
            if len(idle) < MOST_IDLE:
                idle.append(clone)
                return
        support_of(clone).close(clone)

    def close(self) -> None:
        """Let go of the connections of those that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for clones in idle.values():
            for clone in clones:
                support_of(clone).close(clone)


class Asking(NamedTuple):
    """What a look asks with: the bot's client, the symbol (None: all), the seconds to wait for an answer."""

    client: Any
    symbol: str | None
    patience: float
    used: UsedWeight
    clones: Clones

    def begin(self, answers: Answers) -> None:
        """Ask from threads of our own.

        A client that cannot be cloned is asked in turn: an adapter may hold a python-binance client, which
        would take one thread's answer for another's.
        """
        names = reads_of(self.symbol)
        if can_be_cloned(self.client):
            for name in names:
                start_thread(self._read_with_clone, answers, (name,))
        else:
            start_thread(self._read_in_turn, answers, names)

    def begin_async(self, answers: Answers) -> None:
        """Ask with an async client; one that cannot be cloned in tasks, which nobody's time limit ends."""
        if can_be_cloned(self.client):
            self.begin(answers)
            return
        loop = asyncio.get_running_loop()
        for name in reads_of(self.symbol):
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
            asked = self._question(name, self.client)
            answer = EMPTY if asked is None else await asked()
        except asyncio.CancelledError:
            answers.fail(name)
            raise
        except Exception:  # noqa: BLE001 - whatever an adapter raises is no answer
            answers.fail(name)
        else:
            self._heed_own()
            answers.take(name, answer)

    def _answer(self, name: str, client: Any) -> Any:
        asked = self._question(name, client)
        answer = EMPTY if asked is None else asked()
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
"""Looks that nobody may wait for any more; a loop keeps no strong reference to its tasks."""


def start_thread(read: Callable[[Answers, Any], None], answers: Answers, names: tuple[str, ...]) -> None:
    """Carry reads out on a thread that keeps no process alive; where none can be had, they have failed."""
    try:
        threading.Thread(target=read, args=(answers, names), name=THREAD, daemon=True).start()
    except RuntimeError:
        for name in names:
            answers.fail(name)
