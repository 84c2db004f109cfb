"""Look up one order at the exchange: which stores to ask, in which order, and which answer is the order.

A lookup is a generator that yields questions and is sent their replies.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.resolving.questions import PAGE, FoundOrder, QueryMarket, QueryStore, Question, Reply, read_row

EARLY_MS: Final = 5_000
"""How much earlier than its intent an order may seem to be made, by clocks that differ."""

LATE_MS: Final = 120_000
"""How much later: a request may take a recvWindow of 60 s to arrive, and clocks may differ as much."""


class OrderQuery(NamedTuple):
    """An order to look up, by whichever ids are known; `symbol` is in upper case.

    Args:
        made_ms: About when it was placed, by the exchange's clock; None where that is not known. A client
            order id is unique only among open orders, so one of another time is another order.
        taken: Numbers of orders that certainly are other records'.
    """

    symbol: str
    side: str | None = None
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    made_ms: int | None = None
    taken: frozenset[int] = frozenset()

    def matches(self, order: FoundOrder, *, child: bool = False) -> bool:
        """Return whether an order is the wanted one, or the child that a trigger made of it at any time."""
        if {order.order_id, order.algo_id} & self.taken or not self._is_of_its_time(order, child):
            return False
        if order.symbol not in {None, self.symbol} or (self.side and order.side not in {None, self.side}):
            return False
        if not child and (self.algo_id or self.order_id):
            return order.algo_id == self.algo_id if self.algo_id else order.order_id == self.order_id
        return order.client_order_id == self.client_order_id

    def _is_of_its_time(self, order: FoundOrder, child: bool) -> bool:
        if self.made_ms is None:
            return True
        early = order.created_ms < self.made_ms - EARLY_MS
        return not early and (child or order.created_ms <= self.made_ms + LATE_MS)

    def ids(self, store: QueryStore) -> dict[str, Any]:
        """Return the parameters that ask a store for it; empty where none of its ids fits."""
        number = self.algo_id if store.number != "orderId" else self.order_id
        if number is not None:
            return {store.number: number}
        return {} if self.client_order_id is None else {store.name: self.client_order_id}


class Lookup(NamedTuple):
    """What a lookup found; `clean` if that was the order, or every question was answered in full.

    `child` is the order that a conditional one became; `namesake` if there is one like it of another time.
    """

    seen: FoundOrder | None
    evidence: tuple[str, ...]
    clean: bool
    child: FoundOrder | None = None
    namesake: bool = False


Asking = Generator[Question, Reply, Lookup]


def look_up(market: QueryMarket, wanted: OrderQuery, *, conditional: bool, thorough: bool) -> Asking:
    """Ask until the order is found.

    Args:
        market: The market to ask.
        wanted: The order.
        conditional: Whether it may wait for a trigger. Then conditional orders are asked for, and the order
            that it became, which has its client id. One that waits is not always found by its id (-2013), but
            is in the list of open orders.
        thorough: Whether to ask for the history too, which costs more.
    """
    evidence: list[str] = []
    clean, namesake, at_any_time = True, False, wanted._replace(made_ms=None)
    for question, child in _questions(market, wanted, conditional, thorough):
        reply = yield question
        named = [order for order in map(read_row, _orders(reply)) if at_any_time.matches(order, child=child)]
        matching = [order for order in named if wanted.matches(order, child=child)]
        evidence.append(f"{question} → {_describe(reply, matching)}")
        if matching:
            seen = matching[-1]
            became = yield from _follow(market, wanted, seen, evidence)
            return Lookup(seen, tuple(evidence), clean=True, child=became)
        full = question.path == question.store.history and len(reply.rows) >= PAGE
        clean, namesake = clean and reply.failure is None and not full, namesake or bool(named)
    return Lookup(None, tuple(evidence), clean and bool(evidence), namesake=namesake)


def _questions(
    market: QueryMarket, wanted: OrderQuery, conditional: bool, thorough: bool
) -> Iterator[tuple[Question, bool]]:
    """Yield the questions, the cheap ones first, each with whether it asks for a child."""
    main = market.conditional if conditional and market.conditional is not None else market.orders
    symbol = {"symbol": wanted.symbol}
    if ids := wanted.ids(main):
        for path in main.single:
            # GET algoOrder takes no symbol; portfolio margin's and all of /order need one.
            named = ids if main.number == "algoId" else {**symbol, **ids}
            yield Question(main, path, named), False
    yield Question(main, main.waiting, symbol), False
    # The order that it became has its client id. Where others had the same id, it may be one of theirs.
    if main is not market.orders and wanted.client_order_id is not None and not wanted.taken:
        yield (
            Question(
                market.orders, market.orders.single[0], {**symbol, market.orders.name: wanted.client_order_id}
            ),
            True,
        )
    if thorough:
        yield (
            Question(main, main.history, {**symbol, **_history_span(main, wanted)}, main.history_weight),
            False,
        )


def _history_span(store: QueryStore, wanted: OrderQuery) -> Mapping[str, Any]:
    """Return where in the history to look: about when it was made, from its number on, or seven days back."""
    if wanted.made_ms is not None:
        return {
            "startTime": wanted.made_ms - EARLY_MS,
            "endTime": wanted.made_ms + LATE_MS,
            "limit": PAGE,
        }
    ids = {} if wanted.ids(store).get(store.number) is None else wanted.ids(store)
    return {**ids, "limit": PAGE}


def _follow(
    market: QueryMarket, wanted: OrderQuery, seen: FoundOrder, evidence: list[str]
) -> Generator[Question, Reply, FoundOrder | None]:
    """Return what a triggered conditional order became: FINISHED may be filled or cancelled."""
    if seen.algo_id is None or seen.order_id is None:
        return None
    question = Question(
        market.orders, market.orders.single[0], {"symbol": wanted.symbol, "orderId": seen.order_id}
    )
    reply = yield question
    children = [row for row in map(read_row, _orders(reply)) if row.order_id == seen.order_id]
    evidence.append(f"{question} → {_describe(reply, children)}")
    return children[-1] if children else None


def _orders(reply: Reply) -> list[Mapping[str, Any]]:
    return [row for row in reply.rows if isinstance(row, Mapping)]


def _describe(reply: Reply, orders: list[FoundOrder]) -> str:
    if reply.failure is not None:
        return reply.failure
    if orders:
        order = orders[-1]
        ids = (("order id", order.order_id), ("algo id", order.algo_id))
        return ", ".join([order.status, *(f"{name} {value}" for name, value in ids if value is not None)])
    others = len(reply.rows)
    return "not there" if not others else f"{others} other order{'s' * (others > 1)}"
