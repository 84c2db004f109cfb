"""Random requests: always an answer of the exchange's form, and a refusal changes nothing."""

import hashlib
import hmac
import json
from decimal import Decimal
from urllib.parse import urlencode

from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from exit_shim.exchange.engine.symbols import DEFAULT_SYMBOLS
from exit_shim.exchange.engine.views import account
from exit_shim.exchange.http.gate import Gate
from exit_shim.exchange.http.request import RawRequest
from exit_shim.exchange.http.routes import ROUTES
from exit_shim.testing import Exchange


def words(text):
    return text.split()


NOW = 1_790_000_000_000
NAMES = words("""symbol side type quantity price timeInForce reduceOnly positionSide closePosition
    newClientOrderId triggerPrice callbackRate activatePrice algoType orderId origClientOrderId
    algoId clientAlgoId batchOrders orderIdList origClientOrderIdList leverage marginType
    dualSidePosition limit startTime endTime fromId workingType priceProtect priceMatch
    goodTillDate newOrderRespType countdownTime modifyId interval amount multiAssetsMargin incomeType
    recvWindow selfTradePreventionMode""")
SANE = st.sampled_from(
    words("""BTCUSDT ETHUSDT BUY SELL MARKET LIMIT STOP_MARKET STOP TAKE_PROFIT_MARKET TRAILING_STOP_MARKET
    CONDITIONAL GTC IOC FOK GTX GTD GTE_GTC true false True BOTH LONG SHORT 0 1 5 0.01 0.002 59000 60000
    61000 1e-05 -1 RESULT QUEUE OPPONENT ISOLATED CROSSED MARK_PRICE a b 33878894218 4000001910058352
    1m 1M 1w 999999999999999999 EXPIRE_BOTH 99999999999999999999 123456789012345678901234567890 [1] ["a"]
    [{}] [[]] [{"symbol":1}]
    [{"symbol":{}}] {} [
    null""")
)
#: What breaks parsers: separators, escapes, other digits, a lone surrogate's neighbours, quotes.
ODD = st.text(alphabet=" \x00\n&=%+?;\u0663\u00e9\U0001f98aaZ09.-_{}[]\"'\\", max_size=12)
VALUES = SANE | ODD
PARAMS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=10)
ORDER = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        "side": st.sampled_from(["BUY", "SELL"]),
        "type": st.sampled_from(
            words("MARKET LIMIT STOP_MARKET TAKE_PROFIT_MARKET TRAILING_STOP_MARKET STOP")
        ),
    },
    optional={
        "quantity": st.sampled_from(["0.01", "0.05", "1", "0.0001"]),
        "price": st.sampled_from(["59000", "60000", "61000", "2900", "3100"]),
        "triggerPrice": st.sampled_from(["59000", "61000", "2900", "3100"]),
        "callbackRate": st.sampled_from(["1", "5"]),
        "timeInForce": st.sampled_from(["GTC", "IOC", "GTX", "GTE_GTC"]),
        "reduceOnly": st.sampled_from(["true", "false"]),
        "closePosition": st.just("true"),
        "newClientOrderId": st.sampled_from(["a", "b"]),
        "clientAlgoId": st.sampled_from(["a", "b"]),
    },
)
SIGNED_ROUTES = sorted(ROUTES)


def request(method, path, params):
    query = urlencode({**params, "timestamp": NOW})
    signature = hmac.new(b"secret", query.encode(), hashlib.sha256).hexdigest()
    return RawRequest(method, path, f"{query}&signature={signature}", "", {"x-mbx-apikey": "key"})


def fresh():
    # With a few symbols, since what answers for all of them is asked a lot.
    return Gate(Exchange(clock=lambda: NOW, symbols=DEFAULT_SYMBOLS[:3]), {"key": "secret"})


def seen(engine):
    """Everything an account can see, to compare before and after."""
    state = engine.state
    orders = [
        (order.order_id, order.status, order.executed, order.price, order.quantity)
        for order in engine.all_orders()
    ]
    algos = [(algo.algo_id, algo.status) for name in state.symbols for algo in engine.all_algos(name)]
    return json.dumps([account.account_v2(state), account.position_risk_v2(state, None)]), orders, algos


def check(gate, sent):
    before = seen(gate.engine)
    if refuses(gate, sent):
        assert seen(gate.engine) == before


def refuses(gate, sent):
    answer = gate.answer(sent)
    found = json.loads(answer.body)
    assert gate.internal_errors == []
    if answer.status == 200:
        return False
    assert set(found) == {"code", "msg"}
    assert found["code"] == answer.code < 0
    return True


@given(st.lists(st.tuples(st.sampled_from(SIGNED_ROUTES), PARAMS), max_size=8))
def test_any_parameters_on_any_endpoint(calls):
    """Every endpoint answers any parameters with its result or an error of the exchange's form."""
    gate = fresh()
    for (method, path), params in calls:
        check(gate, request(method, path, params))


@given(ODD, ODD, ODD)
def test_any_text_as_query_and_body(query, body, key):
    """Unsigned nonsense is refused and changes nothing."""
    gate = fresh()
    before = seen(gate.engine)
    for method, path in SIGNED_ROUTES:
        refuses(gate, RawRequest(method, path, query, body, {"x-mbx-apikey": key}))
    assert seen(gate.engine) == before


STEPS = st.one_of(
    st.tuples(st.just("order"), ORDER),
    st.tuples(st.just("mark"), st.sampled_from(["58000", "59000", "60000", "61000", "62000"])),
    st.tuples(st.just("cancel"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("isolate"), st.sampled_from(["BTCUSDT", "ETHUSDT"])),
    st.tuples(st.just("trade"), st.sampled_from(["59000", "60000", "61000"])),
    st.tuples(
        st.just("book"),
        st.tuples(st.sampled_from(["58900", "59900"]), st.sampled_from(["60000", "60100"])),
    ),
)


def act(gate, kind, value):
    engine = gate.engine
    if kind == "mark":
        engine.set_mark("BTCUSDT", value)
    elif kind == "trade":
        engine.trade("BTCUSDT", value, "0.02")
    elif kind == "book":
        engine.set_book("BTCUSDT", [(value[0], "0.01"), ("58000", "1")], [(value[1], "0.02")])
    elif kind == "isolate":
        refuses(gate, request("POST", "/fapi/v1/marginType", {"symbol": value, "marginType": "ISOLATED"}))
    elif kind == "cancel":
        check(gate, request("DELETE", "/fapi/v1/algoOrder", {"clientAlgoId": value}))
    else:
        path = "order" if value["type"] in {"MARKET", "LIMIT"} else "algoOrder"
        check(gate, request("POST", f"/fapi/v1/{path}", {**value, "algoType": "CONDITIONAL"}))


@settings(max_examples=examples(150))
@given(st.lists(STEPS, max_size=25))
def test_the_books_balance_after_any_history(steps):
    """Whatever was traded, wallet, positions and open orders agree with the list of fills."""
    gate = fresh()
    engine = gate.engine
    for kind, value in steps:
        act(gate, kind, value)
    fills = engine.trades()
    paid = sum((fill.realised - fill.commission for fill in fills), Decimal(0))
    assert engine.wallet == 10_000 + paid
    for symbol in ("BTCUSDT", "ETHUSDT"):
        signed = (
            fill.quantity if fill.side == "BUY" else -fill.quantity for fill in fills if fill.symbol == symbol
        )
        position = engine.position(symbol)
        assert position.amount == sum(signed, Decimal(0))
        alone = engine.state.account.of(symbol).margin_type == "ISOLATED"
        assert (position.isolated > 0) == (alone and position.amount != 0)
    for algo in engine.open_algos():
        assert not algo.needs_position or engine.position(algo.symbol).closable_by(algo.side)
    for order in engine.open_orders():
        assert 0 <= order.executed < order.quantity
        assert not order.only_reduces or engine.position(order.symbol).closable_by(order.side)
