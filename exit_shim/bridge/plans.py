"""The requests of a plan, and the failures it is sent. Pure: generators.

A plan yields a `Request`, is sent its answer or a `Failure`, and returns the answer to the old request.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from exit_shim.bridge.known import KnownOrders
from exit_shim.bridge.request_fields import plain, symbol_in

NO_SUCH_PATH: Final = -5000
NOT_FOUND: Final = 404
"""The HTTP status of a market that has no such path, and answers with a page."""

TOO_MANY: Final = -1003
TOO_MANY_STATUSES: Final = frozenset({418, 429})

NOT_THERE: Final = frozenset({-2011, -2013})
"""The codes with which Binance says that a store has no such order: to a cancel, to a question."""

ALGO_ORDERS: Final = 10**15
"""Algo ids seen are above, order ids far below; Binance promises neither. It only says whom to ask first."""


class Request(NamedTuple):
    """A request to the futures API; `params` are its fields."""

    verb: str
    path: str
    params: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.verb.upper()} {self.path}"


class Failure(NamedTuple):
    """A request that raised: the exception, and the exchange's code in it."""

    error: Exception
    code: object = None

    @property
    def status(self) -> object:
        """The HTTP status of the answer; None where there was none."""
        return getattr(self.error, "status_code", None)

    @property
    def is_no_store(self) -> bool:
        """Whether the exchange has no such path, as a market has that did not move its conditional orders."""
        return self.code == NO_SUCH_PATH or self.status == NOT_FOUND

    @property
    def is_not_there(self) -> bool:
        """Whether the store that was asked has no such order."""
        return self.code in NOT_THERE

    @property
    def is_too_many(self) -> bool:
        """Whether the exchange takes no more requests for now."""
        return self.code == TOO_MANY or self.status in TOO_MANY_STATUSES


class HalfDoneError(Exception):
    """Wrap the failure of a later request, with what the earlier ones did."""

    def __init__(self, error: Exception, done: str) -> None:
        super().__init__(done)
        self.error = error
        self.done = done


Answer: TypeAlias = Any
Plan: TypeAlias = Generator[Request, Any, Answer]
Bridge: TypeAlias = Callable[[KnownOrders, dict[str, Any]], Plan]
Routes: TypeAlias = Mapping[tuple[str, str], Bridge]


def ask(verb: str, path: str, params: Mapping[str, Any]) -> Plan:
    """Send one request, and raise what it raises."""
    answer = yield Request(verb, path, params)
    if isinstance(answer, Failure):
        raise answer.error
    return answer


def ask_algos(known: KnownOrders, path: str, params: Mapping[str, Any]) -> Plan:
    """Ask the Algo Service for a list; an empty one in a market that has none, and none of its orders."""
    answer = yield Request("get", path, params)
    if not isinstance(answer, Failure):
        return answer
    if answer.is_no_store and not known.has_stops:
        return []
    raise answer.error


def find_algo(params: Mapping[str, Any], reference: Mapping[str, Any]) -> Plan:
    """Ask the Algo Service for an order; a `Failure` where it has none.

    Args:
        params: The old request.
        reference: What names the order: its `algoId` or `clientAlgoId`.
    """
    answer = yield Request("get", "algoOrder", {**plain(params), **reference})
    if not isinstance(answer, Failure) or not answer.is_not_there:
        return answer
    # GET algoOrder has answered -2013 to orders that wait; the list of them has the last word.
    symbol = symbol_in(params)
    listed = yield Request(
        "get", "openAlgoOrders", {**plain(params), **({"symbol": symbol} if symbol else {})}
    )
    if isinstance(listed, Failure):
        return answer if listed.is_no_store else listed
    named = (
        row for row in listed if is_row(row) and all(row.get(name) == reference[name] for name in reference)
    )
    return next(named, answer)


def failure_of(error: Exception) -> Failure:
    """Return an exception as a failure."""
    return Failure(error, getattr(error, "code", None))


def as_error(failure: Failure) -> dict[str, Any]:
    """Return a failure as a batch has it; -1007 for one that leaves the order in doubt."""
    if type(failure.code) is int and failure.code:
        return {"code": failure.code, "msg": str(getattr(failure.error, "message", failure.error))}
    if failure.is_too_many:
        return {"code": TOO_MANY, "msg": "Too many requests."}
    return {"code": -1007, "msg": "Timeout waiting for response from backend server. Send status unknown."}


def is_row(answer: Any) -> bool:
    """Return whether an answer is one row, and no list."""
    return isinstance(answer, Mapping)
