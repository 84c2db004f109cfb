"""The facts of a local run that only its exchange has: unrecorded orders, refusals, and what was left."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.cli.audit import Discrepancy, find_modules, find_problems
from exit_shim.clients.hosts import suffix_of
from exit_shim.domain.accounts import AT
from exit_shim.exchange.engine.views import overview
from exit_shim.exchange.request_record import RequestRecord
from exit_shim.exchange.unanswered import Unanswered
from exit_shim.guard.exchange_snapshot import Snapshot, snapshot_from
from exit_shim.testing import LocalExchange

AGENTS: Final = ("Chrome/56.0.2924.87", "binance/python")
"""The user agents of python-binance's releases."""

ID_PREFIX: Final = "x-Cb7ytekJ"
"""The prefix of the client order ids that python-binance invents for futures."""

IDS: Final = ("newClientOrderId", "clientAlgoId")

NOT_THERE: Final = frozenset({-1020, -5000})
"""The codes of what the exchange lacks; it lists these requests itself."""

VERBS: Final[Mapping[str, str]] = {"POST": "placed", "PUT": "changed", "DELETE": "cancelled"}


class Refused(NamedTuple):
    """Requests of one kind that the exchange refused for one reason."""

    method: str
    path: str
    code: int
    text: str
    number: int


class LocalEnd(NamedTuple):
    """The end of a run on a local exchange.

    Attributes:
        unrecorded: How many accepted order requests placed, changed or cancelled without a client that this
            process covers, by user agent.
        refused: What the exchange refused, the most frequent first.
        unanswered: What the exchange lacks and was asked for, the most frequent first.
        problems: What was left without a stop, and exits without a position.
        positions: How many positions were left open.
        orders: How many orders were left, conditional ones included.
    """

    unrecorded: dict[str, Counter[str]]
    refused: list[Refused]
    unanswered: list[Unanswered]
    problems: list[Discrepancy]
    positions: int
    orders: int

    def as_dict(self) -> dict[str, Any]:
        """Return the facts, ready for JSON."""
        return {
            "unrecorded": self.unrecorded,
            "refused": [each._asdict() for each in self.refused],
            "unanswered": self.unanswered,
            "problems": [each._asdict() for each in self.problems],
            "positions": self.positions,
            "orders": self.orders,
        }


def read_local_end(exchange: LocalExchange, covered: Collection[int] = ()) -> LocalEnd:
    """Return the facts that the exchange has about a run, and what was left on it.

    Args:
        exchange: The run's exchange.
        covered: The hashes of the signatures of requests that the shim saw.
    """
    requests = exchange.requests
    snapshot = read_remaining(exchange)
    modules = find_modules(snapshot, suffix_of(exchange.url).removeprefix(AT))
    return LocalEnd(
        count_unrecorded(requests, covered),
        count_refused(requests),
        exchange.unanswered,
        list(find_problems(snapshot, modules)),
        len(snapshot.positions),
        len(snapshot.resting),
    )


def read_remaining(exchange: LocalExchange) -> Snapshot:
    """Return the positions and open orders that remain on USDⓈ-M and COIN-M."""
    answers: dict[str, list[dict[str, object]]] = {"orders": [], "algos": [], "positions": []}
    with exchange.lock:
        for engine in (exchange.engine, exchange.coin):
            engine.run_due()
            answers["orders"] += overview.render_orders(engine.state, engine.open_orders())
            answers["algos"] += overview.render_algos(engine.state, engine.open_algos())
            answers["positions"] += overview.render_positions(engine.state)
    return snapshot_from(answers)._replace(asked=time.time_ns())


def count_unrecorded(requests: Iterable[RequestRecord], covered: Collection[int]) -> dict[str, Counter[str]]:
    """Count the accepted order requests that the shim did not see, by who sent them."""
    counts: dict[str, Counter[str]] = {}
    for request in requests:
        is_accepted = request.executed and request.error_code is None
        if not (request.changes_orders and is_accepted) or is_covered(request, covered):
            continue
        agent = request.user_agent or "the WebSocket API"
        counts.setdefault(agent, Counter())[VERBS[request.method]] += 1
    return counts


def is_covered(request: RequestRecord, covered: Collection[int]) -> bool:
    """Return whether the shim saw an order request."""
    # Another process that the bot forked notes its signatures there.
    return hash(request.params.get("signature")) in covered or is_of_python_binance(request)


def is_of_python_binance(request: RequestRecord) -> bool:
    """Return whether python-binance sent an order request."""
    if request.user_agent:
        return any(agent in request.user_agent for agent in AGENTS)
    # Requests of the WebSocket API have no user agent, and cancels no client order id of their own.
    ids = [request.params.get(name, "") for name in IDS]
    return request.method != "POST" or any(name.startswith(ID_PREFIX) for name in ids)


def count_refused(requests: Iterable[RequestRecord]) -> list[Refused]:
    """Count what was refused, by endpoint and reason; of a batch each order."""
    counts: Counter[tuple[str, str, int, str]] = Counter()
    for request in requests:
        refused = list(request.refused_parts)
        if request.error_code is not None and request.error_code not in NOT_THERE:
            refused.append((request.error_code, request.error_text))
        counts.update((request.method, request.path, *each) for each in refused)
    return [Refused(*key, count) for key, count in counts.most_common()]
