"""One look at the exchange for one order: through which stores, in which order, and what is the order sought.

Pure: a look is a generator that yields questions and is sent their replies.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.resolving.questions import PAGE, QueryMarket, QueryStore, Question, Reply, Seen, read_row

EARLY_MS: Final = 5_000
"""How much before its intent an order may seem to be made: a clock that is a second fast is still let in."""

LATE_MS: Final = 120_000
"""How much after: a request may take a recvWindow of 60 s to arrive, and a clock may be as slow as that."""


class OrderQuery(NamedTuple):
    """An order that may be at the exchange, by whichever ids are known; `symbol` is in upper case.

    Args:
        made_ms: About when it was placed, by the exchange's clock. A client order id is unique only among
            open orders, so one of another time is another order. None where that is not known.
        taken: Numbers of orders that other records have proved to be theirs.
    """

    symbol: str
    side: str | None = None
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    made_ms: int | None = None
    taken: frozenset[int] = frozenset()

    def is_it(self, seen: Seen, *, child: bool = False) -> bool:
        """Whether what was seen is the order sought; a child is made by its parent's trigger, at any time."""
        if {seen.order_id, seen.algo_id} & self.taken or not self._is_of_its_time(seen, child):
            return False
        if seen.symbol not in {None, self.symbol} or (self.side and seen.side not in {None, self.side}):
            return False
        if not child and (self.algo_id or self.order_id):
            return seen.algo_id == self.algo_id if self.algo_id else seen.order_id == self.order_id
        return seen.client_order_id == self.client_order_id

    def _is_of_its_time(self, seen: Seen, child: bool) -> bool:
        if self.made_ms is None:
            return True
        early = seen.created_ms < self.made_ms - EARLY_MS
        return not early and (child or seen.created_ms <= self.made_ms + LATE_MS)

    def ids(self, store: QueryStore) -> dict[str, Any]:
        """The parameters that ask a store for it; empty where it knows none of its ids."""
        number = self.algo_id if store.number != "orderId" else self.order_id
        if number is not None:
            return {store.number: number}
        return {} if self.client_order_id is None else {store.name: self.client_order_id}


class Look(NamedTuple):
    """What a look found. `clean`: it was found, or every question was answered in full.

    `child` is the order that a conditional one became. `namesake`: one like it is there, but of another time.
    """

    seen: Seen | None
    evidence: tuple[str, ...]
    clean: bool
    child: Seen | None = None
    namesake: bool = False


Asking = Generator[Question, Reply, Look]


def look(market: QueryMarket, sought: OrderQuery, *, conditional: bool, thorough: bool) -> Asking:
    """Look for an order until it is found.

    Args:
        market: Where.
        sought: Which.
        conditional: Whether it may wait for a trigger. Then it is looked for among those, and as the order
            that it became, which bears its client id. One that waits is not always found by its id (-2013),
            but stands in the list of those that wait.
        thorough: Whether to look into the history too, which is dearer.
    """
    evidence: list[str] = []
    clean, namesake, at_any_time = True, False, sought._replace(made_ms=None)
    for question, child in _questions(market, sought, conditional, thorough):
        reply = yield question
        named = [seen for seen in map(read_row, _orders(reply)) if at_any_time.is_it(seen, child=child)]
        found = [seen for seen in named if sought.is_it(seen, child=child)]
        evidence.append(f"{question} → {_told(reply, found)}")
        if found:
            seen = found[-1]
            became = yield from _follow(market, sought, seen, evidence)
            return Look(seen, tuple(evidence), clean=True, child=became)
        full = question.path == question.store.history and len(reply.rows) >= PAGE
        clean, namesake = clean and reply.failure is None and not full, namesake or bool(named)
    return Look(None, tuple(evidence), clean and bool(evidence), namesake=namesake)


def _questions(
    market: QueryMarket, sought: OrderQuery, conditional: bool, thorough: bool
) -> Iterator[tuple[Question, bool]]:
    """The questions of a look, the cheap ones first, each with whether it asks for a child."""
    main = market.conditional if conditional and market.conditional is not None else market.orders
    symbol = {"symbol": sought.symbol}
    if ids := sought.ids(main):
        for path in main.single:
            # GET algoOrder takes no symbol; portfolio margin's and all of /order need one.
            named = ids if main.number == "algoId" else {**symbol, **ids}
            yield Question(main, path, named), False
    yield Question(main, main.waiting, symbol), False
    # The order that it became bears its client id. Where others had the same id, it may be one of theirs.
    if main is not market.orders and sought.client_order_id is not None and not sought.taken:
        yield (
            Question(
                market.orders, market.orders.single[0], {**symbol, market.orders.name: sought.client_order_id}
            ),
            True,
        )
    if thorough:
        yield Question(main, main.history, {**symbol, **_since(main, sought)}, main.history_weight), False


def _since(store: QueryStore, sought: OrderQuery) -> Mapping[str, Any]:
    """Where in the history to look: about when it was made, from its number on, or the last seven days."""
    if sought.made_ms is not None:
        return {
            "startTime": sought.made_ms - EARLY_MS,
            "endTime": sought.made_ms + LATE_MS,
            "limit": PAGE,
        }
    known = {} if sought.ids(store).get(store.number) is None else sought.ids(store)
    return {**known, "limit": PAGE}


def _follow(
    market: QueryMarket, sought: OrderQuery, seen: Seen, evidence: list[str]
) -> Generator[Question, Reply, Seen | None]:
    """What became of a conditional order that triggered: FINISHED is both filled and cancelled."""
    if seen.algo_id is None or seen.order_id is None:
        return None
    question = Question(
        market.orders, market.orders.single[0], {"symbol": sought.symbol, "orderId": seen.order_id}
    )
    reply = yield question
    found = [row for row in map(read_row, _orders(reply)) if row.order_id == seen.order_id]
    evidence.append(f"{question} → {_told(reply, found)}")
    return found[-1] if found else None


def _orders(reply: Reply) -> list[Mapping[str, Any]]:
    return [row for row in reply.rows if isinstance(row, Mapping)]


def _told(reply: Reply, found: list[Seen]) -> str:
    if reply.failure is not None:
        return reply.failure
    if found:
        seen = found[-1]
        ids = (("order id", seen.order_id), ("algo id", seen.algo_id))
        return ", ".join([seen.status, *(f"{name} {value}" for name, value in ids if value is not None)])
    others = len(reply.rows)
    return "not there" if not others else f"{others} other order{'s' * (others > 1)}"
