"""Client order ids in the book: each store has names of its own, and a number outranks a name."""

from guarded_bot import LEGACY, LIMIT, OWNER, STOP, Bot

from exit_shim.domain.orders import Reference
from exit_shim.guard.exchange_snapshot import ask, read_snapshot


def test_one_name_in_both_stores_is_two_orders():
    """A LIMIT of the owner does not make its own a legacy module's stop of the same name."""
    bot = Bot().enter()
    stop = bot.by(LEGACY, **STOP, clientAlgoId="a")
    limit = bot.by(OWNER, **LIMIT, newClientOrderId="a")
    account, find = bot.records[-1].intent.account, bot.shim.guard.book.find
    for reference, module in (
        (Reference(algo_id=stop["algoId"], client_order_id="a"), LEGACY),
        (Reference(limit["orderId"], client_order_id="a"), OWNER),
        (Reference(client_order_id="a", store="conditional"), LEGACY),
        (Reference(client_order_id="a", store="orders"), OWNER),
    ):
        assert find(account, reference).module == module
    listed = {
        order.name: find(account, order.reference).module for order in ask(read_snapshot(bot.client)).resting
    }
    assert listed == {str(stop["algoId"]): LEGACY, str(limit["orderId"]): OWNER}
    assert bot.by(LEGACY, **{**STOP, "type": "TAKE_PROFIT_MARKET", "stopPrice": 70000})["algoId"] > 0


def test_a_cancel_by_name_takes_the_order_of_its_own_store():
    """An origClientOrderId names an ordinary order, a clientAlgoId a conditional one."""
    bot = Bot().enter()
    bot.by(OWNER, **STOP, clientAlgoId="a")
    bot.by(OWNER, **LIMIT, newClientOrderId="a")
    bot.by(OWNER, "futures_cancel_order", symbol="BTCUSDT", origClientOrderId="a")
    account, book = bot.records[-1].intent.account, bot.shim.guard.book
    assert bot.records[-1].intent.order.kind == "other_exit"
    assert book.find(account, Reference(client_order_id="a", store="conditional")).kind == "sl"
    assert book.find(account, Reference(client_order_id="a", store="orders")) is None


def test_a_name_that_was_used_again_is_not_the_earlier_orders():
    """An order with another number is not one that the book knows under its name."""
    bot = Bot().enter()
    stop = bot.by(OWNER, **STOP, clientAlgoId="a")
    account, book = bot.records[-1].intent.account, bot.shim.guard.book
    assert book.find(account, Reference(algo_id=stop["algoId"] + 1, client_order_id="a")) is None
