"""The same random orders over HTTP and through the fakes: no difference to be seen."""

import asyncio
import contextlib
import inspect
import itertools
import time

from binance import Client
from binance.exceptions import BinanceAPIException
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange

SYMBOLS = ("BTCUSDT", "ETHUSDT")
NAMES = ("mine", "a:b/c.d_e-f")
CONDITIONAL = ("STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP", "TRAILING_STOP_MARKET")

symbol = st.sampled_from(SYMBOLS)
side = st.sampled_from(("BUY", "SELL"))
quantity = st.sampled_from((0.01, "0.05", 1))
price = st.sampled_from((59000, 60000.5, "61000.10", 2900, 3100.55))
extra = st.fixed_dictionaries(
    {},
    optional={
        "newOrderRespType": st.sampled_from(("ACK", "RESULT")),
        "reduceOnly": st.sampled_from((True, "true", False)),
        "newClientOrderId": st.sampled_from((*NAMES, "a & b+c=d%20e")),
        "workingType": st.sampled_from(("MARK_PRICE", "CONTRACT_PRICE")),
    },
)
odd = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.just("NOUSDT"),
        "side": st.just("HOLD"),
        "quantity": st.sampled_from((0, 0.00001, 5000, "x", None)),
        "price": st.sampled_from((0.1, "1e5", -1)),
        "timeInForce": st.sampled_from(("GTX", "IOC", "?")),
        "positionSide": st.sampled_from(("BOTH", "LONG", "SHORT")),
        "callbackRate": st.sampled_from((1, 99)),
        "priceMatch": st.just("QUEUE"),
    },
)


def order(**fields):
    """Orders that the exchange may like, a few of them spoiled."""
    return st.builds(
        lambda plain, more, spoiled, spoil: {**plain, **more, **(spoiled if spoil else {})},
        st.fixed_dictionaries({"symbol": symbol, "side": side, **fields}),
        extra,
        odd,
        st.sampled_from((False, False, True)),
    )


market = order(type=st.just("MARKET"), quantity=quantity)
limit = order(type=st.just("LIMIT"), quantity=quantity, price=price, timeInForce=st.just("GTC"))
conditional = order(type=st.sampled_from(CONDITIONAL), quantity=quantity, stopPrice=price)
closing = order(type=st.sampled_from(CONDITIONAL[:2]), stopPrice=price, closePosition=st.just(True))
placed = st.one_of(market, limit, conditional, closing)


def call(method, **params):
    return st.tuples(st.just(method), st.fixed_dictionaries(params))


def create(orders):
    return st.tuples(st.just("futures_create_order"), orders)


name = st.sampled_from(NAMES)
steps = st.lists(
    st.one_of(
        create(market),
        create(limit),
        create(conditional),
        create(closing),
        st.tuples(st.just("set_mark"), st.tuples(symbol, st.sampled_from((59000, 61000, "2900.5", 3100)))),
        st.tuples(st.just("futures_create_test_order"), placed),
        call("futures_place_batch_order", batchOrders=st.lists(placed, max_size=3)),
        call("futures_change_leverage", symbol=symbol, leverage=st.sampled_from((1, 20, 126))),
        call("futures_change_position_mode", dualSidePosition=st.sampled_from(("true", "false"))),
        call("futures_cancel_all_open_orders", symbol=symbol),
        call("futures_cancel_order", symbol=symbol, origClientOrderId=name),
        call("futures_cancel_orders", symbol=symbol, orderidlist=st.just([33878894218, 1])),
        call(
            "futures_modify_order",
            symbol=symbol,
            side=side,
            origClientOrderId=name,
            quantity=quantity,
            price=price,
        ),
        call("futures_get_order", symbol=symbol, origClientOrderId=name),
        call("futures_get_open_orders"),
        call("futures_get_all_algo_orders", symbol=symbol),
        call("futures_account_trades", symbol=symbol),
        call("futures_account"),
    ),
    min_size=4,
    max_size=16,
)


class Clock:
    """The time of day, which stands still while one step is tried on every face."""

    def __init__(self):
        self.tick()

    def tick(self):
        self.now = time.time_ns() // 1_000_000

    def __call__(self):
        return self.now


class Over(Client):
    """The genuine client over HTTP."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.FUTURES_URL = f"{exchange.url}/fapi"
        super().__init__("local-key", "local-secret", ping=False)


class Driven:
    """An async client whose methods are called as those of a sync one."""

    def __init__(self, client, loop):
        self.__dict__.update(client=client, loop=loop)

    def __getattr__(self, name):
        method = getattr(self.client, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda **params: self.loop.run_until_complete(method(**params))


@contextlib.contextmanager
def three_faces(clock):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with LocalExchange(clock=clock, rate_limits=False) as served:
            over = Over(served)
            fake = FakeClient(exchange=LocalExchange(clock=clock, rate_limits=False))
            own = FakeAsyncClient(exchange=LocalExchange(clock=clock, rate_limits=False))
            for client in (over, fake, own):
                count = itertools.count()  # or each would invent names of its own
                client.uuid22 = lambda count=count, **_: f"{next(count):022d}"
            yield over, fake, Driven(own, loop)
            over.close_connection()
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def tried(client, method, params):
    """What a bot sees of a call: the answer or the error, and the headers."""
    if method == "set_mark":
        return client.exchange.set_mark(*params)
    params = {**params}
    if "batchOrders" in params:
        params["batchOrders"] = [{**order} for order in params["batchOrders"]]
    try:
        seen = getattr(client, method)(**params)
    except BinanceAPIException as refused:
        seen = type(refused), refused.code, refused.message, refused.status_code
    headers = {name.upper(): value for name, value in client.response.headers.items()}
    return seen, {name: value for name, value in headers.items() if name.startswith(("X-", "CONTENT-TYPE"))}


def told(exchange):
    """What the exchange knows at the end."""
    unsigned = [
        (
            request.method,
            request.path,
            {key: value for key, value in request.params.items() if key not in {"timestamp", "signature"}},
            request.http_status,
            request.error_code,
        )
        for request in exchange.requests
    ]
    state = exchange.engine.state
    return (
        unsigned,
        exchange.positions(),
        exchange.orders(),
        state.account,
        state.orders.all_of(None),
        state.trades,
    )


@settings(max_examples=examples(100), deadline=None)
@given(steps)
def test_fakes_and_http_are_one_exchange(series):
    """Answers, errors, headers, requests and the final state are equal on HTTP, sync fake and async fake."""
    clock = Clock()
    with three_faces(clock) as clients:
        for method, params in series:
            clock.tick()
            first, *others = (tried(client, method, params) for client in clients)
            assert others == [first, first]
        truth, *others = (told(client.exchange) for client in clients)
        assert others == [truth, truth]
        assert clients[0].exchange.internal_errors == []
