"""The questions to an exchange about an order, and how to read its answers.

Sources: Binance's pages on querying orders of USDⓈ-M, COIN-M and portfolio margin and on the Algo Service,
and answers of production in September 2026.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from exit_shim.clients.registry import market_of
from exit_shim.clients.support import Market

NO_SUCH_ORDER: Final = -2013

PAGE: Final = 100
"""The rows that a query of the history asks for: every endpoint of the three markets allows as many."""


class QueryStore(NamedTuple):
    """The endpoints for one kind of order: single orders, open orders, and the history.

    `number` and `name` are the parameters for the exchange's id and the client's. The weight is that of a
    request that names a symbol.
    """

    prefix: str
    single: tuple[str, ...]
    waiting: str
    history: str
    history_weight: int
    number: str = "orderId"
    name: str = "origClientOrderId"


class QueryMarket(NamedTuple):
    """The stores of a market; whether its answers for an order, and a stop, that never was are known."""

    orders: QueryStore
    conditional: QueryStore | None = None
    shows_absence: bool = False
    shows_absent_stops: bool = False


USDT_MARGINED: Final = QueryMarket(
    QueryStore("/fapi/v1/", ("order",), "openOrders", "allOrders", 5),
    QueryStore("/fapi/v1/", ("algoOrder",), "openAlgoOrders", "allAlgoOrders", 5, "algoId", "clientAlgoId"),
    shows_absence=True,
    shows_absent_stops=True,
)
# Conditional orders moved on 2026-06-30.
COIN_MARGINED: Final = QueryMarket(
    QueryStore("/dapi/v1/", ("order",), "openOrders", "allOrders", 20),
    QueryStore("/dapi/v1/", ("algoOrder",), "openAlgoOrders", "allAlgoOrders", 20, "algoId", "clientAlgoId"),
    shows_absence=True,
)
# Conditional orders moved on 2026-04-28, those of COIN-M did not.
PORTFOLIO_UM: Final = QueryMarket(
    QueryStore("/papi/v1/", ("um/order",), "um/openOrders", "um/allOrders", 5),
    QueryStore(
        "/papi/v1/",
        ("um/algo/algoOrder",),
        "um/algo/openOrders",
        "um/algo/allOrders",
        1,
        "algoId",
        "clientAlgoId",
    ),
)
PORTFOLIO_CM: Final = QueryMarket(
    QueryStore("/papi/v1/", ("cm/order",), "cm/openOrders", "cm/allOrders", 20),
    QueryStore(
        "/papi/v1/",
        ("cm/conditional/openOrder", "cm/conditional/orderHistory"),
        "cm/conditional/openOrders",
        "cm/conditional/allOrders",
        1,
        "strategyId",
        "newClientStrategyId",
    ),
)


MARKETS: Final[Mapping[Market, QueryMarket]] = {
    "um": USDT_MARGINED,
    "cm": COIN_MARGINED,
    "portfolio_um": PORTFOLIO_UM,
    "portfolio_cm": PORTFOLIO_CM,
}


def query_market_of(door: str) -> QueryMarket | None:
    """Return the market that a door leads to; None for an adapter's door, and for one that leads to two."""
    market = market_of(door)
    return None if market is None else MARKETS.get(market)


class Question(NamedTuple):
    """One GET; its text is part of the evidence."""

    store: QueryStore
    path: str
    params: Mapping[str, Any]
    weight: int = 1

    def __str__(self) -> str:
        fields = "&".join(f"{name}={value}" for name, value in self.params.items())
        return f"GET {self.store.prefix}{self.path}?{fields}"


class Reply(NamedTuple):
    """The orders of an answer, none for "Order does not exist"; or why there is no answer."""

    rows: Sequence[Any] = ()
    failure: str | None = None


class FoundOrder(NamedTuple):
    """An order as a store shows it; times are milliseconds since the epoch.

    `order_id` of a conditional order is that of the order which it became.
    """

    status: str
    order_id: int | None
    algo_id: int | None
    client_order_id: str | None
    symbol: str | None
    side: str | None
    created_ms: int
    updated_ms: int
    price: str | None
    quantity: str | None


def read_row(row: Mapping[str, Any]) -> FoundOrder:
    """Read one order of an answer of any store."""
    get = row.get
    created = get("createTime") or get("bookTime") or get("time")
    return FoundOrder(
        status=str(get("algoStatus") or get("strategyStatus") or get("status") or "?"),
        order_id=_number(get("actualOrderId") if "algoId" in row else get("orderId")),
        algo_id=_number(get("algoId") or get("strategyId")),
        client_order_id=get("clientAlgoId") or get("newClientStrategyId") or get("clientOrderId"),
        symbol=get("symbol"),
        side=get("side"),
        created_ms=_number(created) or 0,
        updated_ms=_number(get("updateTime")) or 0,
        price=get("price"),
        quantity=get("origQty") or get("quantity"),
    )


def _number(value: object) -> int | None:
    # `actualOrderId` is text, and empty until the trigger.
    written = str(value)
    return int(written) if written.isascii() and written.isdigit() and int(written) else None
