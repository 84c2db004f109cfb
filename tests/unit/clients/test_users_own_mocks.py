"""A bot's tests with mocks of its own: each holds with the client bare and behind `exit_shim.wrap` alike."""

import asyncio
from unittest import mock
from unittest.mock import ANY, AsyncMock, MagicMock, call
from urllib.parse import parse_qsl

import pytest
import requests
from binance import AsyncClient, Client
from binance.exceptions import BinanceAPIException

import exit_shim
from exit_shim.testing.no_event_loop import prevent_event_loop

ENTRY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "stopPrice": 59000.0,
    "closePosition": True,
}
ORDER_URL = "https://fapi.binance.com/fapi/v1/order"
ALGO_URL = "https://fapi.binance.com/fapi/v1/algoOrder"


class Bot:
    """Opens, and protects what it holds."""

    def __init__(self, client):
        self.client = client

    def open(self):
        self.client.futures_create_order(**ENTRY)
        if float(self.client.futures_position_information(symbol="BTCUSDT")[0]["positionAmt"]):
            return self.client.futures_create_order(**STOP)
        return None


class AsyncBot(Bot):
    """The same with an async client."""

    async def open(self):
        await self.client.futures_create_order(**ENTRY)
        rows = await self.client.futures_position_information(symbol="BTCUSDT")
        return await self.client.futures_create_order(**STOP) if rows else None


@pytest.fixture(params=["bare", "wrapped"])
def given(request):
    """What the bot is given for a client: the client itself, or the client wrapped."""
    return exit_shim.wrap if request.param == "wrapped" else lambda client: client


@pytest.fixture
def genuine():
    """A genuine sync client that has sent nothing."""
    with prevent_event_loop():
        client = Client("key", "secret", ping=False)
    yield client
    client.close_connection()


SYNC_MOCKS = {
    "MagicMock": MagicMock,
    "MagicMock(spec)": lambda: MagicMock(spec=Client),
    "MagicMock(spec instance)": lambda: MagicMock(
        spec_set=["futures_create_order", "futures_position_information"]
    ),
    "create_autospec": lambda: mock.create_autospec(Client, instance=True),
    "Mock": mock.Mock,
}


@pytest.mark.filterwarnings("ignore:coroutine")  # create_autospec looks at properties
@pytest.mark.parametrize("make", SYNC_MOCKS.values(), ids=SYNC_MOCKS)
def test_a_mock_sees_the_bots_own_arguments(given, make):
    """Answers set on the mock reach the bot; the mock saw these calls, in this order, and no other."""
    client = make()
    client.futures_position_information.return_value = [{"positionAmt": "0.01"}]
    client.futures_create_order.side_effect = [{"orderId": 1}, mock.sentinel.placed]
    assert Bot(given(client)).open() is mock.sentinel.placed
    client.futures_create_order.assert_has_calls([call(**ENTRY), call(**STOP)])
    assert client.mock_calls == [
        call.futures_create_order(**ENTRY),
        call.futures_position_information(symbol="BTCUSDT"),
        call.futures_create_order(**STOP),
    ]


def test_assertions_hold_through_the_wrapper(given):
    """Set up and asked through what the bot has, a mock answers as it would itself."""
    client = given(MagicMock(spec=Client))
    client.futures_create_order.return_value = {"orderId": 7}
    client.futures_position_information.return_value = [{"positionAmt": "0"}]
    assert Bot(client).open() is None
    client.futures_create_order.assert_called_once_with(**ENTRY)
    client.futures_cancel_order.assert_not_called()
    assert client.futures_create_order.call_args.kwargs["quantity"] == 0.01
    assert client.futures_create_order.call_count == 1
    assert client.method_calls[0] == call.futures_create_order(
        symbol="BTCUSDT", side=ANY, type=ANY, quantity=ANY
    )
    with pytest.raises(AssertionError, match="expected call not found"):
        client.futures_create_order.assert_called_once_with(**STOP)
    client.reset_mock()
    client.futures_create_order.assert_not_called()


def test_a_spec_is_a_spec(given):
    """A client by isinstance, and what the class has not, the mock behind the wrapper has not either."""
    client = given(MagicMock(spec=Client))
    assert isinstance(client, Client)
    with pytest.raises(AttributeError):
        client.futures_create_ordre(**STOP)
    narrow = given(MagicMock(spec=["futures_create_order"]))
    assert not hasattr(narrow, "futures_cancel_order")
    assert not hasattr(narrow, "futures_create_algo_order")


@pytest.mark.parametrize(
    "error", [requests.ReadTimeout("slow"), KeyError("side"), BinanceAPIException(None, 400, "{}")]
)
def test_a_mocks_error_is_the_bots_error(given, error):
    """What side_effect raises arrives as that very exception."""
    client = MagicMock(spec=Client)
    client.futures_create_order.side_effect = error
    with pytest.raises(type(error)) as raised:
        Bot(given(client)).open()
    assert raised.value is error
    client.futures_create_order.assert_called_once_with(**ENTRY)


def test_positional_and_strange_arguments_arrive(given):
    """A mock takes what a real client would refuse, and so does the wrapper before it."""
    client = MagicMock()
    given(client).futures_create_order("BTCUSDT", STOP, reduceOnly=object, closePosition=...)
    client.futures_create_order.assert_called_once_with("BTCUSDT", STOP, reduceOnly=object, closePosition=...)
    batch = [dict(STOP), dict(ENTRY)]
    given(client).futures_place_batch_order(batchOrders=batch)
    assert client.futures_place_batch_order.call_args.kwargs["batchOrders"] is batch
    assert batch == [STOP, ENTRY]


def test_attributes_set_through_the_wrapper_arrive(given):
    """A test that changes the client through what it has changes the client."""
    client = MagicMock()
    used = given(client)
    used.API_KEY = "changed"
    used.futures_create_order = placing = MagicMock(return_value="own")
    used.configure_mock(**{"futures_cancel_order.return_value": "gone"})
    assert client.API_KEY == "changed"
    assert client.futures_create_order is placing
    assert used.futures_create_order(**STOP) == "own"
    placing.assert_called_once_with(**STOP)
    assert used.futures_cancel_order(symbol="BTCUSDT", orderId=1) == "gone"
    del used.API_KEY
    assert not hasattr(client, "API_KEY")


def test_patched_on_what_the_bot_has(given, genuine):
    """mock.patch.object and monkeypatch on the bot's own client: in force inside, undone after."""
    client = given(genuine)
    with mock.patch.object(client, "futures_create_order", return_value={"orderId": 1}) as placing:
        assert client.futures_create_order(**STOP) == {"orderId": 1}
    placing.assert_called_once_with(**STOP)
    with mock.patch.object(client, "futures_create_order", autospec=True) as placing:
        client.futures_create_order(**STOP)
    placing.assert_called_once_with(**STOP)
    assert "futures_create_order" not in vars(genuine)
    own = genuine.futures_position_information
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(client, "futures_position_information", lambda **_: "patched")
        assert client.futures_position_information(symbol="BTCUSDT") == "patched"
    # Before 9.2, pytest left the client's own method in its attributes.
    assert vars(genuine).get("futures_position_information", own) == own


def test_patched_on_the_class(given, genuine):
    """mock.patch of the class's method is seen by every client, wrapped before or not."""
    client = given(genuine)
    with mock.patch("binance.client.Client.futures_create_order", return_value={"orderId": 2}) as placing:
        assert client.futures_create_order(**STOP) == {"orderId": 2}
    placing.assert_called_once_with(**STOP)


def test_a_spy_around_a_genuine_method(given, genuine):
    """MagicMock(wraps=client) spies: the call is seen and the real method runs."""
    genuine._request = MagicMock(return_value={"algoId": 3})
    spy = MagicMock(wraps=genuine)
    assert given(spy).futures_create_order(**STOP) == {"algoId": 3}
    spy.futures_create_order.assert_called_once_with(**STOP)
    assert genuine._request.call_args.args[:2] == ("post", ALGO_URL)


ASYNC_MOCKS = {
    "AsyncMock": AsyncMock,
    "AsyncMock(spec)": lambda: AsyncMock(spec=AsyncClient),
    "MagicMock(spec)": lambda: MagicMock(spec=AsyncClient),
}


@pytest.mark.parametrize("make", ASYNC_MOCKS.values(), ids=ASYNC_MOCKS)
async def test_an_async_mock_is_awaited_with_the_bots_own_arguments(given, make):
    """Called and awaited once each, with the bot's arguments, asked of the mock or through the wrapper."""
    client = make()
    used = given(client)
    client.futures_position_information.return_value = [{"positionAmt": "0.01"}]
    client.futures_create_order.side_effect = [{}, mock.sentinel.placed]
    assert await AsyncBot(used).open() is mock.sentinel.placed
    assert client.futures_create_order.await_args_list == [call(**ENTRY), call(**STOP)]
    used.futures_create_order.assert_awaited_with(**STOP)
    used.futures_position_information.assert_awaited_once_with(symbol="BTCUSDT")


async def test_an_async_mock_is_called_before_it_is_awaited(given):
    """The call happens at the call, the await at the await; an error comes where the mock raises it."""
    client = AsyncMock(spec=AsyncClient)
    placing = given(client).futures_create_order(**STOP)
    client.futures_create_order.assert_not_awaited()
    await placing
    client.futures_create_order.assert_awaited_once_with(**STOP)
    client.futures_create_order.side_effect = asyncio.TimeoutError
    with pytest.raises(asyncio.TimeoutError):
        await given(client).futures_create_order(**STOP)


def test_requests_mock_sees_the_same_request(given, genuine, requests_mock):
    """A genuine client on mocked HTTP sends what it would send: method, URL, headers, fields."""
    requests_mock.post(ORDER_URL, json={"orderId": 1})
    requests_mock.get("https://fapi.binance.com/fapi/v3/positionRisk", json=[{"positionAmt": "0.01"}])
    requests_mock.post(ALGO_URL, json={"algoId": 2})
    assert Bot(given(genuine)).open() == {"algoId": 2}
    entry, _, stop = requests_mock.request_history
    assert (entry.method, entry.url, entry.headers["X-MBX-APIKEY"]) == ("POST", ORDER_URL, "key")
    assert sorted(dict(parse_qsl(entry.text))) == [
        "newClientOrderId", "quantity", "recvWindow", "side", "signature", "symbol", "timestamp", "type",
    ]  # fmt: skip
    sent = dict(parse_qsl(stop.text))
    assert (sent["triggerPrice"], sent["closePosition"], sent["algoType"]) == (
        "59000.0",
        "True",
        "CONDITIONAL",
    )
    assert sent["clientAlgoId"].startswith("x-Cb7ytekJ")
    assert len(sent) == 10  # what python-binance adds, and no more


def test_requests_mock_answers_an_error(given, genuine, requests_mock):
    """A mocked HTTP error becomes the client's own exception, and a mocked network error passes as it is."""
    requests_mock.post(ORDER_URL, status_code=400, json={"code": -2019, "msg": "Margin is insufficient."})
    with pytest.raises(BinanceAPIException) as refused:
        Bot(given(genuine)).open()
    assert (refused.value.code, refused.value.message) == (-2019, "Margin is insufficient.")
    requests_mock.post(ORDER_URL, exc=requests.ConnectTimeout)
    with pytest.raises(requests.ConnectTimeout):
        Bot(given(genuine)).open()
    assert requests_mock.call_count == 2


def test_what_a_mocked_client_was_asked_is_recorded(recorded):
    """A wrapped mock's exits are recorded, so that a bot's test can ask for both."""
    client = MagicMock(spec=Client)
    client.futures_position_information.return_value = [{"positionAmt": "0.01"}]
    Bot(exit_shim.wrap(client)).open()
    (line,) = [record.flat() for record in recorded()]
    assert (line["kind"], line["module"], line["function"]) == ("sl", "test_users_own_mocks", "Bot.open") or (
        line["function"] == "open"  # Python 3.10 knows no qualified names of code
    )
