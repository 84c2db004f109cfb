"""Ask the exchange with GETs, one at a time, within a budget that leaves the bot its own."""

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
"""Half of the weight that an address may use in a minute; the other half is the bot's."""

TOO_MANY_REQUESTS: Final = -1003


class Budget:
    """Limit the weight of requests, for all accounts together: the exchange counts by address.

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
        """Allow no request for a while."""
        self._quiet_until = max(self._quiet_until, self._clock() + seconds)

    def heed(self, answer: Any) -> None:
        """Pause for as long as an answer demands, and for a minute where half the limit is used."""
        if seconds_in(answer, WEIGHT_HEADER) > HALF_OF_THE_LIMIT:
            self.be_quiet(MINUTE_S)
        status = getattr(answer, "status_code", None) or getattr(answer, "status", None)
        if status in LIMITED:
            self.be_quiet(max(retry_after(answer), LIMITED[status]))

    def wait_s(self, weight: int) -> float:
        """Return the seconds until a request of this weight may be made."""
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
    """Ask the exchange on behalf of one account.

    Args:
        clone: The account's client.
        budget: The weight that may be spent.
        used: The weight that the address has used, those of snapshots included.
    """

    def __init__(self, clone: ClientClone, budget: Budget, used: UsedWeight | None = None) -> None:
        self.clone = clone
        self._budget = budget
        self._used = used or UsedWeight()
        self._client: Any = None
        self._bots: weakref.ref[Any] | None = None
        self._heeded: weakref.ref[Any] | None = None

    def watch(self, client: Any) -> None:
        """Read from this client's answers too how much of the limit is used."""
        self._bots = weakref.ref(client)

    def wait_s(self, weight: int) -> float:
        """Return the seconds until a request of this weight may be made."""
        self._heed_bots_answer()
        return max(self._budget.wait_s(weight), self._used.quiet_s())

    def ask(self, question: Question) -> Reply:
        """Make one GET; a failure is a reply too."""
        self._budget.spend(question.weight)
        self._used.spend(question.weight)
        client = self._client = self._client or self.clone.client()
        try:
            answer_rows = self.clone.get(client, question.store.prefix, question.path, question.params)
        # Whatever a transport raises is no answer.
        except Exception as error:  # noqa: BLE001
            return self._failed(error)
        finally:
            answer = support_of(client).last_answer(client)
            self._budget.heed(answer)
            self._used.heed(answer)
        return Reply(answer_rows if isinstance(answer_rows, list) else (answer_rows,))

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            support_of(client).close(client)

    def _failed(self, error: Exception) -> Reply:
        code = getattr(error, "code", None)
        if code == NO_SUCH_ORDER:
            return Reply()
        # The exchange may say so with a status that `heed` does not know.
        if code == TOO_MANY_REQUESTS:
            self._budget.be_quiet(LIMITED[429])
        return Reply(failure=describe(error, secrets_of(self._client, {})))

    def _heed_bots_answer(self) -> None:
        client = self._bots() if self._bots is not None else None
        answer = support_of(client).last_answer(client)
        if answer is not None and (self._heeded is None or self._heeded() is not answer):
            self._heeded = weakref.ref(answer)
            self._budget.heed(answer)
