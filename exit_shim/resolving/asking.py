"""Asking the exchange: GETs only, one at a time, within a budget that leaves the bot's own alone."""

import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from exit_shim.clients.registry import support_of
from exit_shim.clients.support import ClientClone
from exit_shim.resolving.questions import NO_SUCH_ORDER, Question, Reply
from exit_shim.resolving.weight import (
    LIMITED,
    MINUTE_S,
    WEIGHT_HEADER,
    WEIGHT_LIMIT,
    UsedWeight,
    retry_after,
    seconds_in,
)
from exit_shim.runtime.scrubbing import describe, secrets_of

HALF_OF_THE_LIMIT: Final = WEIGHT_LIMIT // 2
"""Of what an address may use in a minute; beyond it the rest is the bot's."""

TOO_MANY_REQUESTS: Final = -1003


class Budget:
    """How much may be asked, for all accounts together: the exchange counts by address.

    Args:
        weight_a_minute: The most request weight to use.
        clock: Seconds that only go forward.
    """

    def __init__(self, weight_a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = weight_a_minute
        self._clock = clock
        self._spent: deque[tuple[float, int]] = deque()
        self._quiet_until = 0.0

    def spend(self, weight: int) -> None:
        """Count a request."""
        self._spent.append((self._clock(), weight))

    def be_quiet(self, seconds: float) -> None:
        """Ask nothing for a while."""
        self._quiet_until = max(self._quiet_until, self._clock() + seconds)

    def heed(self, answer: Any) -> None:
        """Be quiet for as long as an answer asks for, and for a minute where half the limit is used."""
        if seconds_in(answer, WEIGHT_HEADER) > HALF_OF_THE_LIMIT:
            self.be_quiet(MINUTE_S)
        status = getattr(answer, "status_code", None) or getattr(answer, "status", None)
        if status in LIMITED:
            self.be_quiet(max(retry_after(answer), LIMITED[status]))

    def wait_s(self, weight: int) -> float:
        """Seconds until a request of this weight may be made; 0 for now."""
        now = self._clock()
        while self._spent and self._spent[0][0] <= now - MINUTE_S:
            self._spent.popleft()
        wait = self._quiet_until - now
        over = sum(spent for _, spent in self._spent) + weight - self._limit
        for when, spent in self._spent:
            if over <= 0:
                break
            over -= spent
            wait = max(wait, when + MINUTE_S - now)
        return max(wait, 0.0)


class ExchangeReader:
    """Asks in one account's place.

    Args:
        sibling: Whose place.
        budget: What may be spent.
        used: What its address has used, looks at the exchange included.
    """

    def __init__(self, clone: ClientClone, budget: Budget, used: UsedWeight | None = None) -> None:
        self.clone = clone
        self._budget = budget
        self._used = used or UsedWeight()
        self._client: Any = None
        self._bots: weakref.ref[Any] | None = None
        self._heeded: weakref.ref[Any] | None = None

    def watch(self, client: Any) -> None:
        """Look at this client's answers too for how much of the limit has been used."""
        self._bots = weakref.ref(client)

    def wait_s(self, weight: int) -> float:
        """Seconds until a request of this weight may be made; 0 for now."""
        self._look_at_the_bots_answers()
        return max(self._budget.wait_s(weight), self._used.quiet_s())

    def ask(self, question: Question) -> Reply:
        """Make one GET. What fails is a reply too; only `Exception` is caught."""
        self._budget.spend(question.weight)
        self._used.spend(question.weight)
        client = self._client = self._client or self.clone.client()
        try:
            found = self.clone.get(client, question.store.prefix, question.path, question.params)
        except Exception as error:  # noqa: BLE001 - whatever a transport raises is no answer
            return self._failed(error)
        finally:
            answer = support_of(client).last_answer(client)
            self._budget.heed(answer)
            self._used.heed(answer)
        return Reply(found if isinstance(found, list) else (found,))

    def close(self) -> None:
        """Let go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            support_of(client).close(client)

    def _failed(self, error: Exception) -> Reply:
        code = getattr(error, "code", None)
        if code == NO_SUCH_ORDER:
            return Reply()
        if code == TOO_MANY_REQUESTS:  # whatever the status, which `heed` looks at
            self._budget.be_quiet(LIMITED[429])
        return Reply(failure=describe(error, secrets_of(self._client, {})))

    def _look_at_the_bots_answers(self) -> None:
        client = self._bots() if self._bots is not None else None
        answer = support_of(client).last_answer(client)
        if answer is not None and (self._heeded is None or self._heeded() is not answer):
            self._heeded = weakref.ref(answer)
            self._budget.heed(answer)
