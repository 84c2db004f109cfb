"""Promise 1: the exchange receives, and the bot sees, what they would have without the shim."""

import asyncio
import collections.abc
import contextlib
import copy
import enum
import functools
import gc
import inspect
import pickle
import random
import sys
import threading
import types
import typing
import weakref
from decimal import Decimal
from unittest import mock

import pytest
import wrapt
from abilities import NO_POSITION, RULES, STOP_ID, STOP_PATH, needs_algo, needs_generated_ids
from binance import AsyncClient, Client
from binance.exceptions import BinanceAPIException
from bots import STOP, FakeAsyncClient, FakeClient

import exit_shim
from exit_shim.clients.python_binance import PYTHON_BINANCE
from exit_shim.clients.python_binance_doors import DOORS
from exit_shim.domain.verdicts import Reason
from exit_shim.testing import LocalExchange
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

CLOSE = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 0.01, "reduceOnly": True}
REFUSAL = '{"code": -1, "msg": "no"}'
LIMIT = {"symbol": "BTCUSDT", "quantity": 0.004, "price": 66000, "timeInForce": "GTC"}


class OrderType(str, enum.Enum):
    """How newer bots spell their types."""

    STOP_MARKET = "STOP_MARKET"


def calls():
    """Calls of every door, well-formed and not; made anew each time, because python-binance edits batches."""
    order, closing = "futures_create_order", {"reduceOnly": True}
    return [
        (order, (), {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": Decimal("0.05")}),
        (order, (), dict(STOP)),
        (order, (), {**STOP, "newClientOrderId": "dropped-by-the-client", "stopPrice": "49000"}),
        (order, (), {**STOP, "clientAlgoId": "my-own", "triggerPrice": 48000, "type": "take_profit_market"}),
        (order, (), {**STOP, "type": OrderType.STOP_MARKET, "workingType": None}),
        (order, (), {**STOP, "type": None}),
        (order, (), {**STOP, "type": 7, "stopPrice": object}),
        (order, (), {**STOP, "side": "SIDEWAYS", "stopPrice": 1e-7}),
        (order, (), {"type": "MARKET", "symbol": "BTCUSDT", "reduceOnly": "true", "side": "SELL"}),
        (order, (), {"self_": 1, "door": 2, "method": 3, "closePosition": True}),
        (order, (), {}),
        (order, ({"symbol": "BTCUSDT"},), {}),
        ("futures_create_algo_order", (), {**STOP, "algoType": "CONDITIONAL", "triggerPrice": 47000}),
        ("futures_limit_order", (), {**LIMIT, "side": "SELL", **closing}),
        ("futures_limit_buy_order", (), {**LIMIT, "price": 50000, "newClientOrderId": "own-limit"}),
        ("futures_limit_sell_order", (), {**LIMIT, "reduceOnly": "TRUE"}),
        ("futures_market_order", (), {"symbol": "BTCUSDT", "side": "SELL", "quantity": 0.001, **closing}),
        ("futures_market_buy_order", (), {"symbol": "BTCUSDT", "quantity": 0.001}),
        ("futures_market_sell_order", (), {"symbol": "BTCUSDT", "quantity": "0.001", "reduceOnly": "true"}),
        (
            "futures_place_batch_order",
            (),
            {
                "batchOrders": [
                    {**LIMIT, "side": "SELL", "type": "LIMIT", "quantity": "0.001", "reduceOnly": "true"},
                    {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"},
                    {**STOP, "closePosition": "true", "newClientOrderId": "batch-own"},
                ]
            },
        ),
        ("futures_place_batch_order", (), {"batchOrders": ["not an order", None]}),
        ("futures_place_batch_order", (), {"batchOrders": 5}),
        ("futures_place_batch_order", (), {}),
        ("futures_get_open_orders", (), {"symbol": "BTCUSDT", "conditional": True}),
        ("futures_cancel_all_open_orders", (), {"symbol": "BTCUSDT"}),
    ]


def shown(outcome):
    """An answer without its times, an exception as what a bot can tell of it."""
    if isinstance(outcome, BaseException):
        return type(outcome), str(outcome)
    if isinstance(outcome, list):
        return [shown(item) for item in outcome]
    return {name: value for name, value in outcome.items() if not name.lower().endswith("time")}


def wire(exchange):
    """The requests as they arrived: all but the time and what is signed over it."""
    return [
        (
            record.method,
            record.path,
            {k: v for k, v in record.params.items() if k not in {"timestamp", "signature"}},
        )
        for record in exchange.requests
    ]


@contextlib.contextmanager
def genuine():
    """A genuine sync client on an exchange of its own."""
    with LocalExchange(rules=RULES) as exchange, redirect_clients(exchange.url, exchange.register):
        client = Client(LOCAL_KEY, LOCAL_SECRET)
        yield exchange, client
        close_client(client)


def converse(around):
    with genuine() as (exchange, client), around(client) as used:
        answers = []
        for place, (name, args, params) in enumerate(calls()):
            random.seed(place)
            try:
                answers.append(shown(getattr(used, name)(*args, **params)))
            except Exception as error:  # noqa: BLE001 - compared
                answers.append(shown(error))
        return answers, wire(exchange)


@contextlib.contextmanager
def wrapped(client):
    yield exit_shim.wrap(client)


@contextlib.contextmanager
def under_installed(client):
    with exit_shim.shim.default_shim().install():
        yield client


@contextlib.contextmanager
def under_both(client):
    with exit_shim.shim.default_shim().install():
        yield exit_shim.wrap(client)


@pytest.mark.parametrize("around", [wrapped, under_installed, under_both])
def test_the_exchange_and_the_bot_cannot_tell(around, monkeypatch):
    """Seeded alike, a sync client sends the same requests, ids included, and gives the same answers."""
    plain = converse(contextlib.nullcontext)
    shimmed = converse(around)
    assert shimmed[0] == plain[0]
    assert shimmed[1] == plain[1]
    assert {path for _, path, _ in plain[1]} >= {
        "/fapi/v1/order",
        f"/fapi/v1/{STOP_PATH}",
        "/fapi/v1/batchOrders",
    }


async def async_converse(around):
    with LocalExchange(rules=RULES) as exchange, redirect_clients(exchange.url, exchange.register):
        client = await AsyncClient.create(LOCAL_KEY, LOCAL_SECRET)
        with around(client) as used:
            answers = []
            for place, (name, args, params) in enumerate(calls()):
                random.seed(place)
                try:
                    answers.append(shown(await getattr(used, name)(*args, **params)))
                except Exception as error:  # noqa: BLE001 - compared
                    answers.append(shown(error))
        await client.close_connection()
        return answers, wire(exchange)


@pytest.mark.parametrize("around", [wrapped, under_installed])
async def test_neither_can_they_tell_with_an_async_client(around):
    """Seeded alike, an async client sends the same requests, ids included, and gives the same answers."""
    assert await async_converse(around) == await async_converse(contextlib.nullcontext)


@needs_generated_ids
def test_generated_ids_are_on_the_wire_and_in_the_record(exchange, client, recorded):
    """An id that the client would have invented is known before the send: record and request agree."""
    used = exit_shim.wrap(client)
    used.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    used.futures_create_order(**STOP)
    used.futures_create_order(**CLOSE)
    stop, close = exchange.order_requests[-2:]
    ids = [record.intent.order.client_order_id for record in recorded()]
    assert ids == [stop.params[STOP_ID], close.params["newClientOrderId"]]
    assert all(own.startswith(client.CONTRACT_ORDER_PREFIX) for own in ids)


def test_the_callers_own_ids_are_respected(exchange, client, recorded):
    """Ids that the bot chose go out, and into the record, as they are."""
    used = exit_shim.wrap(client)
    used.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    used.futures_create_order(**STOP, **{STOP_ID: "mine"})
    used.futures_create_order(**CLOSE, newClientOrderId="my-2")
    assert [record.flat()["client_order_id"] for record in recorded()] == ["mine", "my-2"]
    assert [r.params.get("newClientOrderId", r.params.get("clientAlgoId")) for r in exchange.order_requests][
        1:
    ] == ["mine", "my-2"]


@needs_algo
def test_an_id_that_the_client_drops_is_not_recorded_as_sent(exchange, client, recorded):
    """For a conditional order python-binance drops newClientOrderId; the record has the id that went out."""
    used = exit_shim.wrap(client)
    used.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    used.futures_create_order(**STOP, newClientOrderId="discarded")
    sent = exchange.order_requests[-1].params
    (record,) = recorded()
    assert "newClientOrderId" not in sent
    assert record.intent.order.client_order_id == sent["clientAlgoId"]


def test_the_bot_gets_the_very_object():
    """What the client returned is what the bot gets, by identity, whatever it is."""
    for answer in ({"orderId": 1}, [], None, object(), mock.MagicMock()):
        fake = mock.Mock(spec=["futures_create_order"])
        fake.futures_create_order.return_value = answer
        assert exit_shim.wrap(fake).futures_create_order(**STOP) is answer


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        asyncio.CancelledError(),
        StopIteration(5),
    ],
)
def test_the_bot_gets_the_very_exception(error):
    """What the client raised is what the bot gets, by identity, with no cause or context put in."""
    fake = mock.Mock(spec=["futures_create_order"])
    fake.futures_create_order.side_effect = error
    with pytest.raises(type(error)) as raised:
        exit_shim.wrap(fake).futures_create_order(**STOP)
    assert raised.value is error
    assert error.__context__ is None
    assert error.__cause__ is None


async def test_the_very_exception_of_a_coroutine():
    """An async client's exception arrives at the await by identity; a cancellation stays one."""
    for error in (ValueError("no"), asyncio.CancelledError(), BinanceAPIException(None, 400, REFUSAL)):
        fake = mock.Mock(spec=["futures_create_order"])
        fake.futures_create_order = mock.AsyncMock(side_effect=error)
        with pytest.raises(type(error)) as raised:
            await exit_shim.wrap(fake).futures_create_order(**STOP)
        assert raised.value is error


def test_it_is_what_it_wraps(client):
    """isinstance, __class__, equality, hash, bool, repr, str, dir and vars are the client's own."""
    used = exit_shim.wrap(client)
    assert isinstance(used, Client)
    assert issubclass(used.__class__, Client)
    assert used == client
    assert client == used
    assert exit_shim.wrap(client) == used
    assert len({used, client}) == 1
    assert bool(used)
    assert repr(used) == repr(client)
    assert str(used) == str(client)
    assert dir(used) == dir(client)
    assert vars(used) is vars(client)
    assert (used.__doc__, used.__module__) == (client.__doc__, client.__module__)
    assert not callable(used)
    assert not isinstance(used, collections.abc.Iterator)


@pytest.mark.parametrize("owner", [Client, AsyncClient])
@pytest.mark.parametrize("how", ["wrapped", "installed"])
def test_a_door_looks_like_the_clients_method(owner, how):
    """To inspect, asyncio and repr a door's method is the client's: signature, coroutine or not, names."""
    bare = owner.__new__(owner)
    bare.session = None  # for Client.__del__
    plain = {door.method: getattr(bare, door.method) for door in DOORS if hasattr(bare, door.method)}
    with contextlib.ExitStack() as around:
        if how == "installed":
            around.enter_context(exit_shim.ExitShim(journal=False).install())
        used = bare if how == "installed" else exit_shim.wrap(bare)
        for name, method in plain.items():
            own = getattr(used, name)
            assert inspect.signature(own) == inspect.signature(method)
            assert inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(method)
            assert inspect.ismethod(own)
            assert callable(own)
            assert isinstance(own, types.MethodType)
            for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__func__", "__self__"):
                assert getattr(own, attribute) == getattr(method, attribute)
            assert (repr(own), hash(own)) == (repr(method), hash(method))
            assert own == method
            assert method == own
            assert functools.wraps(own)(lambda: None).__name__ == name


def test_classes_under_installed_look_like_themselves():
    """While installed, a door fetched from the class is a function to every eye, always the same one."""
    plain = {name: function for name, function in vars(Client).items() if name.startswith("futures_")}
    with exit_shim.ExitShim(journal=False).install():
        for name, function in plain.items():
            own = getattr(Client, name)
            assert own == function
            assert own is getattr(Client, name)
            assert inspect.isfunction(own)
            assert inspect.signature(own) == inspect.signature(function)
            assert (own.__name__, own.__doc__, repr(own)) == (name, function.__doc__, repr(function))
        assert mock.create_autospec(Client).futures_create_order._spec_signature is not None
    assert {name: function for name, function in vars(Client).items() if name in plain} == plain


def test_a_door_that_the_client_lacks_stays_absent():
    """Neither hasattr nor getattr finds it, and the error is the client's own."""
    used, bare = exit_shim.wrap(FakeClient()), FakeClient()
    name = "futures_place_batch_order"
    assert not hasattr(used, name)
    assert getattr(used, name, 5) == 5
    with pytest.raises(AttributeError) as own:
        getattr(used, name)
    with pytest.raises(AttributeError) as plain:
        getattr(bare, name)
    assert str(own.value) == str(plain.value)


def test_a_door_that_is_no_method_is_handed_out_as_it_is():
    """A client that has None, or anything not callable, where a door would be gives just that."""
    bare = FakeClient()
    bare.futures_limit_order = None
    assert exit_shim.wrap(bare).futures_limit_order is None


def test_names_of_the_client_win_over_names_of_the_proxy():
    """No public or private name of the proxy hides an attribute that a client or adapter has of its own."""

    class Adapter(FakeClient):
        _own = _gateway = shim = door = gateway = wrapped = "the adapter's"

    used = exit_shim.wrap(Adapter())
    for name in vars(Adapter):
        if not name.startswith("__"):
            assert getattr(used, name) == "the adapter's"
    ours = {name for name in dir(type(used)) if not name.startswith(("__", "_self_"))}
    assert ours <= {door.method for door in DOORS}


def test_attributes_set_and_deleted_through_the_proxy_are_the_clients():
    """What setattr and delattr do, they do to the client, doors or not; what is set beside it shows."""
    bare = FakeClient()
    used = exit_shim.wrap(bare)
    used.color = "red"
    bare.shape = "round"
    assert (bare.color, used.shape) == ("red", "round")
    del used.color
    assert not hasattr(bare, "color")
    used.futures_create_order = lambda **params: "patched"
    assert bare.futures_create_order() == "patched"
    assert used.futures_create_order(**STOP) == "patched"
    del used.futures_create_order
    assert used.futures_create_order(**STOP) == {"orderId": 1}
    bare.futures_create_order = lambda **params: "beside"
    assert used.futures_create_order(**STOP) == "beside"
    with pytest.raises(AttributeError):
        del used.futures_limit_order


def test_patch_object_on_the_proxy(monkeypatch):
    """unittest.mock.patch.object and monkeypatch on the proxy see the bot's arguments and are undone."""
    bare = FakeClient()
    used = exit_shim.wrap(bare)
    with mock.patch.object(used, "futures_create_order", return_value="mocked") as mocked:
        assert used.futures_create_order(**STOP) == "mocked"
    mocked.assert_called_once_with(**STOP)
    assert vars(bare) == {"orders": []}
    with monkeypatch.context() as patching:
        patching.setattr(used, "futures_create_order", lambda **params: "patched")
        assert used.futures_create_order(**STOP) == "patched"
    assert used.futures_create_order(**STOP) == {"orderId": 1}


def test_mocks_see_exactly_the_bots_arguments():
    """A wrapped mock of any kind is called with what the bot wrote: no ids, no extra attribute access."""
    for fake in (mock.MagicMock(), mock.MagicMock(spec=Client)):
        exit_shim.wrap(fake).futures_create_order(**STOP)
        fake.futures_create_order.assert_called_once_with(**STOP)
        assert fake.mock_calls == [mock.call.futures_create_order(**STOP)]
    lax = mock.MagicMock()
    exit_shim.wrap(lax).futures_place_batch_order(batchOrders=[dict(STOP)])
    lax.futures_place_batch_order.assert_called_once_with(batchOrders=[STOP])


@pytest.mark.filterwarnings("ignore:coroutine")
def test_an_autospecced_client_is_called():
    """create_autospec of a sync client is called at once, with what the bot wrote and nothing else."""
    fake = mock.create_autospec(Client, instance=True)
    exit_shim.wrap(fake).futures_create_order(**STOP)
    fake.futures_create_order.assert_called_once_with(**STOP)
    assert fake.mock_calls == [mock.call.futures_create_order(**STOP)]


async def test_async_mocks_see_exactly_the_bots_arguments():
    """The same for mocks whose methods are coroutines."""
    for fake in (mock.AsyncMock(), mock.AsyncMock(spec=AsyncClient), mock.MagicMock(spec=AsyncClient)):
        await exit_shim.wrap(fake).futures_create_order(**STOP)
        fake.futures_create_order.assert_awaited_once_with(**STOP)


def test_a_fake_gets_no_ids(recorded):
    """A fake client class is called with what the bot wrote, and is recorded all the same."""
    bare = FakeClient()
    exit_shim.wrap(bare).futures_create_order(**STOP)
    assert bare.orders == [STOP]
    assert recorded()[0].outcome.order_id == 1


def test_wrapping_twice_is_wrapping_once():
    """Wrapping is idempotent, unwrap gives the client, and what is no proxy passes unwrap as it is."""
    bare = FakeClient()
    used = exit_shim.wrap(bare)
    assert exit_shim.wrap(used) is used
    assert exit_shim.unwrap(used) is bare
    assert exit_shim.unwrap(bare) is bare


def test_wrapping_with_another_shim_moves_the_client_there(recorded):
    """A proxy given to another shim's wrap is recorded there alone, not in both."""
    other = exit_shim.ExitShim(journal=False)
    exit_shim.wrap(exit_shim.wrap(FakeClient()), shim=other).futures_create_order(**STOP)
    assert other.metrics.get_summary()["total_orders"] == 1
    assert recorded() == []


def test_disabled_it_is_the_client_itself(monkeypatch):
    """With EXIT_SHIM_DISABLED=1 wrap gives back the client, and takes the proxy off one that is wrapped."""
    bare = FakeClient()
    used = exit_shim.wrap(bare)
    monkeypatch.setenv("EXIT_SHIM_DISABLED", "1")
    assert exit_shim.wrap(bare) is bare
    assert exit_shim.wrap(used) is bare


class Contexts(FakeClient):
    """A client that is both kinds of context manager."""

    def __enter__(self):
        self.left = None
        return self

    def __exit__(self, *error):
        self.left = error[0]
        return error[0] is KeyError

    async def __aenter__(self):
        return self.__enter__()

    async def __aexit__(self, *error):
        return self.__exit__(*error)


async def test_with_and_async_with_give_the_proxy():
    """Entering a context hands back the proxy; the client sees the exception and may swallow it."""
    used = exit_shim.wrap(Contexts())
    with used as inside:
        assert inside is used
    async with used as inside:
        assert inside is used
    with used:
        raise KeyError
    assert used.left is KeyError
    async with used:
        raise KeyError
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(used) is used
    async with contextlib.AsyncExitStack() as stack:
        assert await stack.enter_async_context(used) is used


NO_CONTEXT = AttributeError if sys.version_info < (3, 11) else TypeError


async def test_a_client_that_is_no_context_manager_stays_none():
    """It has no such methods, and `with` and `async with` raise what they raise for the bare client."""
    used, bare = exit_shim.wrap(FakeClient()), FakeClient()
    for name in ("__enter__", "__exit__", "__aenter__", "__aexit__"):
        assert not hasattr(used, name)
    for one in (used, bare):
        with pytest.raises(NO_CONTEXT), one:
            pass
        with pytest.raises(NO_CONTEXT):
            async with one:
                pass


def test_a_context_of_something_else_is_handed_through():
    """An __enter__ that returns something other than the client gives the bot just that."""

    class Session(FakeClient):
        def __enter__(self):
            return "a session"

        def __exit__(self, *error):
            return None

    with exit_shim.wrap(Session()) as session:
        assert session == "a session"


def test_copies_and_pickles_are_wrapped_clients():
    """copy, deepcopy and pickle give what they give for the client, and it is still attributed."""
    used = exit_shim.wrap(FakeClient())
    used.color = "red"
    for other in (copy.copy(used), copy.deepcopy(used), pickle.loads(pickle.dumps(used))):
        assert isinstance(other, FakeClient)
        assert exit_shim.unwrap(other) is not exit_shim.unwrap(used)
        assert other.color == "red"
        before = exit_shim.get_exit_order_metrics().get_summary()["total_orders"]
        other.futures_create_order(**STOP)
        assert exit_shim.get_exit_order_metrics().get_summary()["total_orders"] == before + 1
    assert copy.copy(used).orders is used.orders
    assert copy.deepcopy(used).orders is not used.orders
    together = copy.deepcopy([used, exit_shim.unwrap(used)])
    assert exit_shim.unwrap(together[0]) is together[1]


def test_a_doors_method_copies_and_pickles_as_the_clients():
    """A bound method that is copied or pickled behaves as the client's own does."""
    method = exit_shim.wrap(FakeClient()).futures_create_order
    assert copy.copy(method)(**STOP) == {"orderId": 1}
    assert copy.deepcopy(method).__self__ is not method.__self__
    assert pickle.loads(pickle.dumps(method))(**STOP) == {"orderId": 2}


def test_weak_references_and_garbage():
    """Dropping the proxy drops the client at once, orders placed or not: there is no cycle."""
    gc.collect()
    gc.disable()
    try:
        bare = FakeClient()
        used = exit_shim.wrap(bare)
        used.futures_create_order(**STOP)
        fate, own_fate = weakref.ref(bare), weakref.ref(used)
        assert own_fate() is used
        del bare, used
        assert fate() is None
        assert own_fate() is None
    finally:
        gc.enable()


class Heavy:
    """Something that a frame holds."""


@pytest.mark.parametrize("fails", [False, True])
def test_no_frame_is_kept_alive(fails):
    """After a fetch, a call or a failed call, the locals of the function that did it are free to go."""
    bare = FakeClient()
    bare.fails = fails
    used = exit_shim.wrap(bare)

    def place(**params):
        if params["closePosition"] == "fail":
            raise ValueError("no")

    bare.futures_limit_order = place

    def fetch_and_call():
        heavy = Heavy()
        with contextlib.suppress(ValueError):
            used.futures_limit_order(closePosition="fail" if fails else True)
        return weakref.ref(heavy), used.futures_create_order

    gc.disable()
    try:
        fate, stored = fetch_and_call()
        assert fate() is None
        assert stored(**STOP) == {"orderId": 1}
    finally:
        gc.enable()


async def test_an_async_call_keeps_no_frame_alive():
    """A coroutine that waits to be awaited does not hold the locals of the function that made it."""
    used = exit_shim.wrap(FakeAsyncClient())

    def make():
        heavy = Heavy()
        return weakref.ref(heavy), used.futures_create_order(**STOP)

    fate, coroutine = make()
    assert fate() is None
    assert await coroutine == {"orderId": 1}


def test_a_coroutine_carries_the_clients_names():
    """Warnings and task dumps name the client's method, not the shim's."""
    coroutine = exit_shim.wrap(FakeAsyncClient()).futures_create_order(**STOP)
    assert inspect.iscoroutine(coroutine)
    assert coroutine.__qualname__ == "FakeAsyncClient.futures_create_order"
    coroutine.close()


def test_a_call_with_no_python_frame_below_it_is_sent(recorded):
    """A door as the target of a bare thread, where C is all there is beneath it, sends like any other."""
    bare = FakeClient()
    import _thread  # noqa: PLC0415 - the point of this test

    done = threading.Event()
    bare.futures_limit_order = lambda **params: done.set()
    used = exit_shim.wrap(bare)
    _thread.start_new_thread(used.futures_limit_order, (), {"closePosition": True})
    assert done.wait(60)
    while not (lines := [record.flat() for record in recorded()]):
        pass
    assert (lines[0]["module"], lines[0]["evidence"]) == ("test_transparency", "bind")


def test_one_order_is_one_record_with_class_and_instance_wrapped(exchange, client, recorded):
    """install() and wrap at once record an order once."""
    with exit_shim.shim.default_shim().install():
        used = exit_shim.wrap(client)
        used.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        used.futures_create_order(**STOP)
        client.futures_create_order(**CLOSE)
    assert [record.flat()["kind"] for record in recorded()] == ["sl", "close"]


def test_installing_is_exactly_undone():
    """Before and after install(), nested or left by an exception, the classes hold identical objects."""
    before = [dict(vars(owner)) for owner in (Client, AsyncClient)]
    shim = exit_shim.ExitShim(journal=False)
    with contextlib.suppress(KeyError), shim.install(), exit_shim.ExitShim(journal=False).install():
        assert vars(Client)["futures_create_order"] is not before[0]["futures_create_order"]
        raise KeyError
    for owner, held in zip((Client, AsyncClient), before, strict=True):
        assert list(vars(owner)) == list(held)
        assert all(vars(owner)[name] is value for name, value in held.items())


def test_subclasses_that_call_the_base_explicitly_are_seen(exchange, recorded):
    """`Client.futures_create_order(self, ...)` and super() in a bot's own subclass go through install()."""

    class Explicit(Client):
        def futures_create_order(self, **params):
            return Client.futures_create_order(self, **params)

    class Super(Client):
        def futures_create_order(self, **params):
            return super().futures_create_order(**params)

    with exit_shim.shim.default_shim().install():
        for owner in (Explicit, Super):
            own = owner(LOCAL_KEY, LOCAL_SECRET)
            with pytest.raises(BinanceAPIException, match="TIF"):
                own.futures_create_order(**STOP)
            close_client(own)
        with pytest.raises(TypeError):
            Client.futures_create_order()
    assert [record.flat()["error_code"] for record in recorded()] == [NO_POSITION] * 2
    assert {record.flat()["function"] for record in recorded()} == {
        "test_subclasses_that_call_the_base_explicitly_are_seen"  # an override of a door is a layer around it
    }


def test_a_door_behind_a_door_is_one_order(recorded):
    """A bot that puts a retry around its client's method, through the proxy, still places one order."""
    used = exit_shim.wrap(FakeClient())
    place = used.futures_create_order
    used.futures_create_order = functools.partial(place, positionSide="BOTH")
    used.futures_create_order(**STOP)
    assert len(used.orders) == 1
    assert len(recorded()) == 1


@needs_generated_ids
def test_a_client_in_another_wrapper_keeps_its_ids(exchange, client, recorded):
    """A client that something else wrapped with wrapt is still a genuine one."""
    used = exit_shim.wrap(wrapt.ObjectProxy(client))
    with pytest.raises(BinanceAPIException):
        used.futures_create_order(**STOP)
    assert recorded()[0].intent.order.client_order_id == exchange.requests[-1].params[STOP_ID]


def test_protocols_and_abstract_classes():
    """A runtime-checkable protocol of methods accepts the proxy where it accepts the client."""

    @typing.runtime_checkable
    class Places(typing.Protocol):
        def futures_create_order(self, **params): ...

    @typing.runtime_checkable
    class Streams(typing.Protocol):
        def futures_user_socket(self): ...

    used = exit_shim.wrap(FakeClient())
    assert isinstance(used, Places)
    assert not isinstance(used, Streams)


def test_a_denied_order_is_an_exception_that_bots_know():
    """ExitOrderDenied is a BinanceAPIException with code -2010, and survives str, copy and pickle."""
    why = (Reason("OWNERSHIP_CONFLICT", {"module": "a"}),)
    denied = PYTHON_BINANCE.denial('module "a" may not', why, -2010)
    assert isinstance(denied, BinanceAPIException)
    assert isinstance(denied, exit_shim.ExitOrderDenied)
    for one in (denied, copy.copy(denied), pickle.loads(pickle.dumps(denied))):
        assert type(one) is type(denied)
        assert (one.code, one.status_code, one.message) == (-2010, 400, 'module "a" may not')
        assert one.reasons == why
        assert str(one) == 'APIError(code=-2010): module "a" may not'
        assert one.response is None


async def test_an_error_that_nobody_awaits_is_told_by_the_loop():
    """A task of an adapter's that fails unseen is told of as it is without the shim."""

    class Adapter:
        def futures_create_order(self, **params):
            async def place():
                raise ValueError("refused")

            return asyncio.ensure_future(place())

    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["message"]))
    for client in (Adapter(), exit_shim.wrap(Adapter())):
        client.futures_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=1, reduceOnly=True)
        await asyncio.sleep(0.01)
        gc.collect()
    assert told == ["Task exception was never retrieved"] * 2
