"""Orders that share a name, one after the other or at once, and answers that the exchange is late with."""

import msgspec
import pytest
from binance.exceptions import BinanceAPIException
from bridge_worlds import SYMBOL, bridged_client

from exit_shim.testing import LocalExchange, faults

OTHER = "ETHUSDT"
STOP = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "quantity": 0.01}
STOP_LIMIT = {**STOP, "type": "STOP", "price": 49000, "timeInForce": "GTC"}
LIMIT = {
    "symbol": SYMBOL,
    "side": "SELL",
    "type": "LIMIT",
    "price": 70000,
    "quantity": 0.01,
    "timeInForce": "GTC",
}
DAY_MS = 24 * 3_600_000


@pytest.fixture
def exchange():
    """Today's exchange, with an open position."""
    with LocalExchange() as exchange:
        yield exchange


@pytest.fixture
def bot(exchange):
    """A bridged client."""
    with bridged_client(exchange) as bot:
        bot.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
        yield bot


@pytest.fixture
def again(exchange, bot):
    """A bridged client of another process, which knows nothing of the first one's orders."""
    with bridged_client(exchange) as again:
        yield again


def place(bot, order, name, **more):
    """Place an order under a name, and return its id."""
    return bot.futures_create_order(**{**order, **more}, newClientOrderId=name)["orderId"]


def found(bot, symbol=SYMBOL, **ids):
    """Return id and status of what a question finds."""
    order = bot.futures_get_order(symbol=symbol, **ids)
    return order["orderId"], order["status"]


def listed(bot, **params):
    """Return the ids of what a list of all orders has."""
    return [row["orderId"] for row in bot.futures_get_all_orders(symbol=SYMBOL, **params)]


def refusal(call, *args, **params):
    """Return what a call is refused with."""
    with pytest.raises(BinanceAPIException) as refused:
        call(*args, **params)
    return refused.value


def lose_child(exchange, times=1):
    """Let the exchange not know, for a while, what a conditional order became."""
    late = msgspec.structs.replace(faults.no_such_algo_order(), name="late_read", endpoints=())
    exchange.faults.inject(late, method="GET", path="/fapi/v1/order", times=times)


# Names


@pytest.mark.parametrize(("first", "second"), [(STOP, LIMIT), (STOP, STOP), (LIMIT, STOP), (LIMIT, LIMIT)])
@pytest.mark.parametrize("placer", ["bot", "again"])
def test_a_reused_name_leads_to_the_order_that_rests(bot, again, request, placer, first, second):
    """It is found, listed under its own id and cancelled, whoever placed it and whatever bore its name."""
    old = place(bot, first, "mine")
    bot.futures_cancel_order(symbol=SYMBOL, origClientOrderId="mine")
    new = place(request.getfixturevalue(placer), second, "mine")
    assert found(bot, orderId=old) == (old, "CANCELED")
    assert found(bot, origClientOrderId="mine") == (new, "NEW")
    assert [row["orderId"] for row in bot.futures_get_open_orders(symbol=SYMBOL)] == [new]
    assert refusal(bot.futures_cancel_order, symbol=SYMBOL, orderId=old).code == -2011
    gone = bot.futures_cancel_order(symbol=SYMBOL, origClientOrderId="mine")
    assert (gone["orderId"], gone["status"]) == (new, "CANCELED")
    assert found(bot, origClientOrderId="mine") == (new, "CANCELED")
    assert refusal(bot.futures_cancel_order, symbol=SYMBOL, origClientOrderId="mine").code == -2011


def test_a_refused_order_does_not_take_the_name_of_a_stop_that_rests(exchange, bot):
    """The stop is still found and cancelled by its name."""
    place(bot, LIMIT, "mine")
    bot.futures_cancel_order(symbol=SYMBOL, origClientOrderId="mine")
    stop = place(bot, STOP, "mine")
    refusal(bot.futures_create_order, **{**LIMIT, "quantity": 900}, newClientOrderId="mine")
    assert found(bot, origClientOrderId="mine") == (stop, "NEW")
    bot.futures_cancel_order(symbol=SYMBOL, origClientOrderId="mine")
    assert exchange.open_algo_orders() == []


def test_one_name_on_two_symbols_is_two_orders(bot):
    """Each is found and cancelled under its own symbol, in the list of all and alone."""
    stop = place(bot, STOP, "tp1")
    limit = place(bot, LIMIT, "tp1", symbol=OTHER, side="BUY", price=1000, quantity=0.1)
    rows = bot.futures_get_open_orders()
    assert {(row["symbol"], row["orderId"], row["type"]) for row in rows} == {
        (SYMBOL, stop, "STOP_MARKET"), (OTHER, limit, "LIMIT"),
    }  # fmt: skip
    assert found(bot, origClientOrderId="tp1") == (stop, "NEW")
    assert found(bot, OTHER, origClientOrderId="tp1") == (limit, "NEW")
    bot.futures_cancel_order(symbol=SYMBOL, origClientOrderId="tp1")
    place(bot, STOP, "tp1", symbol=OTHER, stopPrice=1000, quantity=0.1, side="SELL")
    assert found(bot, origClientOrderId="tp1") == (stop, "CANCELED")


def test_two_orders_of_one_name_and_symbol_are_both_listed(bot):
    """A stop and a LIMIT order that share a name are two rows, each with an id of its own."""
    ids = {place(bot, STOP, "tp1"), place(bot, LIMIT, "tp1")}
    assert {row["orderId"] for row in bot.futures_get_open_orders(symbol=SYMBOL)} == ids
    ids |= {place(bot, STOP_LIMIT, "tp2"), place(bot, LIMIT, "tp2", reduceOnly="false")}
    assert {row["orderId"] for row in bot.futures_get_open_orders(symbol=SYMBOL)} == ids


def test_a_fired_stop_that_rests_is_one_row_under_its_old_id(exchange, bot):
    """It is listed, found and cancelled as the stop that the bot placed."""
    stop = place(bot, STOP_LIMIT, "mine", price=51000)
    exchange.set_mark(SYMBOL, 49500)
    (row,) = bot.futures_get_open_orders(symbol=SYMBOL)
    assert (row["orderId"], row["type"], row["origType"]) == (stop, "LIMIT", "STOP")
    assert found(bot, origClientOrderId="mine") == (stop, "NEW")
    assert bot.futures_cancel_order(symbol=SYMBOL, origClientOrderId="mine")["orderId"] == stop
    assert exchange.open_orders() == []


# Answers that are late


def test_a_stop_that_has_just_fired_is_not_expired(exchange, bot):
    """While what it became cannot be read, it is not said to have ended unfilled."""
    stop = place(bot, STOP_LIMIT, "mine", price=51000)
    placed_at = bot.futures_get_order(symbol=SYMBOL, orderId=stop)["time"]
    exchange.advance(10)
    exchange.set_mark(SYMBOL, 49500)
    lose_child(exchange)
    assert found(bot, orderId=stop) == (stop, "NEW")
    lose_child(exchange)
    (row,) = bot.futures_get_all_orders(symbol=SYMBOL, startTime=placed_at, endTime=placed_at)
    assert (row["orderId"], row["status"]) == (stop, "NEW")
    bot.futures_cancel_order(symbol=SYMBOL, orderId=stop)
    lose_child(exchange)
    assert refusal(bot.futures_get_order, symbol=SYMBOL, orderId=stop).code == -2013
    assert found(bot, orderId=stop) == (stop, "CANCELED")


def test_a_stop_that_the_exchange_has_forgotten_is_expired(exchange, bot):
    """After three days an order that ended unfilled is known only from the Algo Service."""
    stop = place(bot, STOP_LIMIT, "mine", price=51000)
    exchange.set_mark(SYMBOL, 49500)
    bot.futures_cancel_order(symbol=SYMBOL, orderId=stop)
    known = bot.shim.bridge.known_of(bot.bare)
    now_ms = known.now_ms() + 4 * DAY_MS
    known._clock = lambda: now_ms / 1000
    lose_child(exchange)
    assert found(bot, orderId=stop) == (stop, "EXPIRED")


def test_a_waiting_stop_is_there_whatever_its_own_question_answers(exchange, bot, again):
    """Where GET algoOrder has no such order, the list of the waiting ones has the last word."""
    stop = place(bot, STOP, "mine")
    exchange.faults.inject(faults.no_such_algo_order(), times=None)
    for client in (bot, again):
        assert found(client, orderId=stop) == (stop, "NEW")
        assert found(client, origClientOrderId="mine") == (stop, "NEW")
    with bridged_client(exchange) as third:
        third.futures_cancel_order(symbol=SYMBOL, origClientOrderId="mine")
    assert exchange.open_algo_orders() == []
    assert refusal(bot.futures_get_order, symbol=SYMBOL, orderId=stop).code == -2013


@pytest.mark.parametrize("by", ["orderId", "origClientOrderId"])
def test_a_cancel_that_cannot_look_is_in_doubt(exchange, bot, again, by):
    """A store that cannot be asked is no store without the order: the failure is raised, not -2011."""
    ids = {"orderId": place(bot, STOP, "mine"), "origClientOrderId": "mine"}
    again.futures_cancel_order(symbol=SYMBOL, orderId=ids["orderId"])
    exchange.faults.inject(faults.service_unavailable(), method="GET", path="algoOrder", times=1)
    assert refusal(bot.futures_cancel_order, symbol=SYMBOL, **{by: ids[by]}).status_code == 503


def test_an_element_that_cannot_be_looked_for_is_in_doubt(exchange, bot):
    """After a restart, a cancel by ids says of a stop that cannot be asked for that its state is unknown."""
    stop = 10**9
    exchange.faults.inject(faults.service_unavailable(), method="GET", path="algoOrder", times=1)
    assert [row["code"] for row in bot.futures_cancel_orders(symbol=SYMBOL, orderidlist=[stop])] == [-1007]
    assert [row["code"] for row in bot.futures_cancel_orders(symbol=SYMBOL, orderidlist=[stop])] == [-2011]


# Lists of all orders


def test_pages_from_any_order_on_are_whole(exchange, bot):
    """Reading page by page from the last id + 1 shows each order once, in the order of their placing."""
    placed = [bot.futures_get_all_orders(symbol=SYMBOL)[0]["orderId"]]
    for number, order in enumerate([STOP, LIMIT, STOP, STOP, LIMIT, LIMIT, STOP, STOP]):
        exchange.advance(10)
        placed.append(place(bot, order, f"order-{number}", quantity=0.002))
    for clients in (bot, None):
        with bridged_client(exchange) as restarted:
            reader = clients or restarted
            for size in (1, 2, 3, 100):
                seen, first = [], placed[0]
                while page := listed(reader, orderId=first, limit=size):
                    seen += page
                    first = page[-1] + 1
                assert seen == placed
            for place_ in range(len(placed)):
                assert listed(reader, limit=len(placed) - place_) == placed[place_:]
    assert listed(bot, orderId=1) == placed


def test_a_fired_stop_has_its_own_place_in_a_page(exchange, bot):
    """What it became is no order of its own, on whichever page it would be."""
    stop = place(bot, STOP, "mine")
    exchange.advance(10)
    limit = place(bot, LIMIT, "other")
    exchange.advance(10)
    exchange.set_mark(SYMBOL, 49500)
    # The stop just before it may be there too: the bot may have asked for the id after the last one it had.
    assert listed(bot, orderId=limit) in ([limit], [stop, limit])
    assert listed(bot, limit=1) == [limit]
    (row,) = bot.futures_get_all_orders(symbol=SYMBOL, orderId=stop, limit=1)
    assert (row["orderId"], row["status"], row["type"]) == (stop, "FILLED", "MARKET")


# Requests


def test_a_field_that_is_none_hides_no_other(bot):
    """`triggerPrice=None` beside a stopPrice is as if it were not there."""
    placed = bot.futures_create_order(**STOP, triggerPrice=None, newClientOrderId="mine")
    assert float(placed["stopPrice"]) == 50000


def test_a_batch_stops_where_the_exchange_takes_no_more(exchange, bot):
    """After a 429 nothing more is sent, and the elements that are left say so."""
    batch = [{**STOP, "quantity": "0.002", "newClientOrderId": f"stop-{number}"} for number in range(4)]
    exchange.faults.inject(faults.too_many_requests(), method="POST", path="algoOrder", times=1)
    before = len(exchange.requests)
    rows = bot.futures_place_batch_order(batchOrders=[{**row, "stopPrice": "50000"} for row in batch])
    assert [row.get("code") for row in rows] == [-1003] * 4
    assert len(exchange.requests) == before + 1


def test_a_market_whose_missing_paths_are_pages_has_no_store(exchange, bot):
    """A 404 with a page in the place of -5000 means that there are no conditional orders."""
    exchange.faults.inject(faults.html_error(404, executed=False), path="openAlgoOrders", times=1)
    limit = place(bot, LIMIT, "mine")
    assert [row["orderId"] for row in bot.futures_get_open_orders(symbol=SYMBOL)] == [limit]


def test_a_first_cancel_all_leaves_nothing_that_fires_meanwhile(exchange, bot, again):
    """What an earlier process placed may fire in between; a later cancel-all takes two requests."""
    place(again, STOP_LIMIT, "mine")
    for expected in (3, 2):
        before = len(exchange.requests)
        bot.futures_cancel_all_open_orders(symbol=SYMBOL)
        assert len(exchange.requests) == before + expected
    place(bot, STOP_LIMIT, "mine")
    for expected in (3, 2):
        before = len(exchange.requests)
        bot.futures_cancel_all_open_orders(symbol=SYMBOL)
        assert len(exchange.requests) == before + expected
