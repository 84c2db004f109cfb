"""The pytest plugin, in runs of pytest of its own."""

import subprocess
import sys

import pytest

import exit_shim.runtime.background


def passed(result, count):
    result.assert_outcomes(passed=count)


# Being there and not being there


@pytest.mark.parametrize(("ini", "inline"), [("", True), ("exit_shim_plugin = off\n", False)])
def test_log_lines_come_within_the_call(run, monkeypatch, ini, inline):
    """A test finds an order's log lines in caplog right after the call; not so where the plugin is off."""
    monkeypatch.setattr(exit_shim.runtime.background, "INLINE", False)
    passed(
        run(
            f"""
import exit_shim, logging

class Client:
    def futures_create_order(self, **params):
        return {{}}

def test_it(caplog):
    caplog.set_level(logging.INFO, "exit_shim")
    shim = exit_shim.ExitShim(journal=False)
    shim.wrap(Client()).futures_create_order(**STOP)
    assert bool(caplog.records) is {inline}
    assert shim.flush(timeout_s=60)
    assert len(caplog.records) == 2
    shim.close()
""",
            ini=ini,
        ),
        1,
    )
    assert not exit_shim.runtime.background.INLINE


def test_a_run_that_uses_no_fixture_imports_next_to_nothing(pytester):
    """The plugin is loaded at every start of pytest; until a fixture is asked for, it costs no library."""
    pytester.makepyfile(
        """
        import sys

        HEAVY = {"aiohttp", "binance", "msgspec", "requests", "sqlite3", "structlog", "wrapt"}

        def test_lean(request):
            assert request.config.pluginmanager.has_plugin("exit_shim")
            assert HEAVY.isdisjoint(sys.modules)
            own = {name for name in sys.modules if name.startswith("exit_shim")}
            assert own <= {
                "exit_shim", "exit_shim.runtime", "exit_shim.runtime.lazy_names", "exit_shim.testing",
                "exit_shim.testing.plugin",
                "exit_shim.testing.kit", "exit_shim.testing.kit.fixtures", "exit_shim.runtime.background",
                "exit_shim.testing.kit.refusal_report",
                "exit_shim.runtime.process_hooks", "exit_shim.runtime.reentrancy",
                "exit_shim.runtime.service",
            }
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:requests_mock")
    passed(result, 1)


def test_the_fixtures_tell_what_they_are(run):
    """`pytest --fixtures` lists them with what they give; the one they rest on stays out of sight."""
    result = run("", "--fixtures")
    result.stdout.fnmatch_lines(["local_exchange -- *", "exit_records -- *"])
    result.stdout.no_fnmatch_line("*_exit_shim_exchange*")


@pytest.mark.parametrize("value", ["off", "false", "0"])
def test_an_ini_option_switches_it_off(run, value):
    """With `exit_shim_plugin = off` the names are free for others; the marker stays known."""
    result = run(
        """
@pytest.mark.exit_shim(hedge=True)
def test_none(request):
    with pytest.raises(pytest.FixtureLookupError):
        request.getfixturevalue("local_exchange")
""",
        "--strict-markers",
        ini=f"exit_shim_plugin = {value}\n",
    )
    passed(result, 1)


def test_no_plugin_at_all(run, monkeypatch):
    """`-p no:exit_shim` is pytest's own way to leave it out."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    result = run("def test_none(local_exchange): pass\n", "-p", "no:exit_shim", plugins=())
    result.stdout.fnmatch_lines(["*fixture 'local_exchange' not found*"])


# The exchange and the clients


def test_a_sync_client_on_the_exchange(run):
    """The client is genuine, the market moves on demand, faults and requests are at hand."""
    passed(
        run(
            """
def test_life(local_exchange, binance_client):
    from binance import Client

    assert isinstance(binance_client, Client)
    binance_client.futures_create_order(**OPEN)
    placed = binance_client.futures_create_order(**STOP)
    assert local_exchange.orders()[0]["algoId"] == placed["algoId"]
    local_exchange.set_mark("BTCUSDT", 58_900)
    assert local_exchange.positions() == local_exchange.orders() == []
    paths = [request.path for request in local_exchange.order_requests]
    assert paths == ["/fapi/v1/order", "/fapi/v1/algoOrder"]

def test_faults(local_exchange, binance_client):
    import requests
    from exit_shim.testing import faults

    local_exchange.faults.inject(faults.reset_after_execution())
    with pytest.raises(requests.ConnectionError):
        binance_client.futures_create_order(**OPEN)
    assert local_exchange.positions()[0]["positionAmt"] == "0.010"

def test_websocket_api(local_exchange, binance_client):
    binance_client.ws_futures_create_order(**OPEN)
    binance_client.ws_futures_create_order(**STOP)
    assert len(local_exchange.orders()) == 1
"""
        ),
        3,
    )


def test_clients_that_a_bot_makes_are_on_the_exchange(run):
    """A bot that makes its own client, sync or async, testnet or not, is on the local exchange too."""
    passed(
        run(
            """
from binance import AsyncClient, Client

def test_own_client(local_exchange, loop):
    client = Client("any-key", "any-secret", testnet=True)
    client.futures_create_order(**OPEN)
    assert len(local_exchange.positions()) == 1
    client.close_connection()

async def test_own_async_client(local_exchange):
    client = await AsyncClient.create("any-key", "any-secret")
    await client.futures_create_order(**OPEN)
    assert len(local_exchange.positions()) == 1
    await client.close_connection()
"""
        ),
        2,
    )


ASYNC = """
async def life(client):
    await client.futures_create_order(**OPEN)
    await client.ws_futures_create_order(**STOP)
    return await client.futures_get_open_algo_orders()
"""


def test_an_async_client_under_any_runner(run):
    """pytest-asyncio, a loop of the test's own, two loops in turn, unittest: nothing is left open by any."""
    passed(
        run(
            ASYNC
            + """
import unittest

async def test_pytest_asyncio(async_binance_client):
    assert len(await life(async_binance_client)) == 1

@pytest.mark.asyncio(loop_scope="session")
async def test_a_loop_that_outlives_the_test(async_binance_client):
    assert len(await life(async_binance_client)) == 1

async def test_closed_by_the_test(async_binance_client):
    await async_binance_client.futures_create_order(**OPEN)
    await async_binance_client.close_connection()

def test_own_loop(async_binance_client):
    assert len(asyncio.run(life(async_binance_client))) == 1

def test_a_loop_that_is_only_closed(async_binance_client):
    loop = asyncio.new_event_loop()
    assert len(loop.run_until_complete(life(async_binance_client))) == 1
    loop.close()

def test_a_loop_that_is_left_open(async_binance_client, loop):
    assert len(asyncio.get_event_loop().run_until_complete(life(async_binance_client))) == 1

def test_two_loops(async_binance_client):
    asyncio.run(async_binance_client.futures_create_order(**OPEN))
    assert asyncio.run(async_binance_client.futures_position_information())[0]["positionAmt"] == "0.010"

def test_never_used(async_binance_client):
    pass

class TestOfUnittest(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def take(self, async_binance_client):
        self.client = async_binance_client

    async def test_life(self):
        assert len(await life(self.client)) == 1
"""
        ),
        9,
    )


def test_an_async_client_under_anyio(run):
    """The same under anyio's runner on asyncio, without pytest-asyncio."""
    pytest.importorskip("anyio")
    passed(
        run(
            ASYNC
            + """
@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_anyio(async_binance_client):
    assert len(await life(async_binance_client)) == 1
""",
            "-W",
            "ignore::pytest.PytestConfigWarning",
            plugins=("exit_shim", "anyio.pytest_plugin"),
        ),
        1,
    )


def test_fakes_share_the_exchange_of_the_test(run):
    """The fakes open no socket; asked for together, fakes and genuine clients are on one exchange."""
    passed(
        run(
            """
def test_alone(fake_client):
    fake_client.futures_create_order(**OPEN)
    fake_client.set_mark("BTCUSDT", 61_000)
    with pytest.raises(RuntimeError):
        fake_client.exchange.url

async def test_both(fake_async_client, local_exchange):
    await fake_async_client.futures_create_order(**OPEN)
    assert len(local_exchange.positions()) == 1
"""
        ),
        2,
    )


# The marker


def test_the_marker_sets_the_scene(run):
    """Mode, hedge mode, symbols, prices and wallet; a test's own arguments win over its module's."""
    passed(
        run(
            """
import os
from decimal import Decimal
from exit_shim.testing import DEFAULT_SYMBOLS, ExchangeError
import exit_shim

pytestmark = pytest.mark.exit_shim(hedge=True, wallet=500.5)

@pytest.mark.exit_shim(mode="EXIT_BRAIN_V3", symbols=["ETHUSDT"], prices={"ETHUSDT": 2000.1})
def test_given(fake_client):
    assert exit_shim.get_exit_mode() == os.environ["EXIT_MODE"] == "EXIT_BRAIN_V3"
    assert fake_client.futures_get_position_mode() == {"dualSidePosition": True}
    assert [row["symbol"] for row in fake_client.futures_exchange_info()["symbols"]] == ["ETHUSDT"]
    assert fake_client.engine.quote("ETHUSDT").mark == Decimal("2000.1")
    assert fake_client.engine.wallet == Decimal("500.5")

@pytest.mark.exit_shim(hedge=False, symbols=(DEFAULT_SYMBOLS[2],))
def test_other(fake_client):
    assert exit_shim.get_exit_mode() == "LEGACY"
    assert fake_client.futures_get_position_mode() == {"dualSidePosition": False}
    assert list(fake_client.engine.state.symbols) == [DEFAULT_SYMBOLS[2].name]
""",
            "--strict-markers",
        ),
        2,
    )


def test_a_bot_on_an_old_client_gets_the_rules_of_its_day(run):
    """Before the Algo Service, stops are orders like others."""
    passed(
        run(
            """
@pytest.mark.exit_shim(rules="2025-12-08")
def test_it(fake_client):
    fake_client.futures_create_order(**OPEN)
    fake_client._request_futures_api("post", "order", True, data=dict(STOP))
    assert [row["type"] for row in fake_client.futures_get_open_orders()] == ["STOP_MARKET"]
"""
        ),
        1,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("'hedge'", "takes its arguments by name"),
        ("hegde=True", "has no argument hegde (did you mean hedge?); it has mode, hedge, symbols, prices"),
        ("trigger_delay=-5", "expected milliseconds, or (shortest, longest)"),
        ("spread=0.5", "spread=0.5 is invalid; expected a number of ticks"),
        ("mode='BRAIN'", "expected one of LEGACY, EXIT_BRAIN_V3"),
        ("symbols=['PEPEUSDT']", "'PEPEUSDT' is not a listed contract (did you mean"),
        ("prices={'PEPEUSDT': 1}", "PEPEUSDT does not trade here"),
        ("prices={'BTCUSDT': 0}", "expected a number above zero"),
        ("rules='yesterday'", "yesterday"),
    ],
)
def test_a_wrong_marker_says_what_is_right(run, arguments, said):
    """An argument that there is not, or a value of it, is an error that names the choices."""
    result = run(f"@pytest.mark.exit_shim({arguments})\ndef test_it(fake_client): pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*@pytest.mark.exit_shim*{said}*".replace("[", "[[]")])


# Records


def test_records_name_who_asked(run, pytester):
    """Placed by whom, of which kind, on what, with which outcome; without a wrap in bot or test."""
    pytester.makepyfile(position_monitor="def protect(client, stop): client.futures_create_order(**stop)\n")
    passed(
        run(
            """
import position_monitor, exit_shim

def test_sync(binance_client, exit_records):
    assert not exit_records
    binance_client.futures_create_order(**OPEN)
    position_monitor.protect(binance_client, STOP)
    assert len(exit_records) == 1
    record = exit_records.of_kind("sl").placed_by("position_monitor").on("BTCUSDT").one()
    assert record == exit_records.with_outcome("accepted").one()
    assert record.intent.attribution.function == "protect"
    assert exit_records.rows[0]["trigger_price"] == "59000"
    assert exit_records[0] == list(exit_records)[0] == exit_records[:1][0] == record
    exit_records.nobody_but("exit_brain_executor", "position_monitor")

async def test_async(async_binance_client, exit_records):
    await async_binance_client.futures_create_order(**OPEN)
    await async_binance_client.futures_create_order(**STOP)
    exit_records.placed_by("test_it").one()

def test_wrapped_is_recorded_once(fake_client, exit_records):
    client = exit_shim.wrap(fake_client)
    client.futures_create_order(**OPEN)
    client.futures_create_order(**STOP)
    exit_records.one()

def test_a_wrapped_mock(exit_records):
    from unittest.mock import MagicMock

    exit_shim.wrap(MagicMock()).futures_create_order(**STOP)
    exit_records.placed_by("test_it").with_outcome("accepted")
"""
        ),
        4,
    )


def test_a_breakout_entry_is_nobodys_exit(run):
    """A conditional order that may open a position is recorded, and no offence to `nobody_but`."""
    passed(
        run(
            """
def test_it(fake_client, exit_records):
    fake_client.futures_create_order(
        symbol="BTCUSDT", side="BUY", type="STOP_MARKET", stopPrice=61000, quantity=1
    )
    assert exit_records.of_kind("conditional").nobody_but("exit_brain_executor")
"""
        ),
        1,
    )


def test_a_cancel_of_somebody_elses_stop_is_found(run, pytester):
    """Who cancelled whose exit is listed, and an offence to `nobody_but`; an entry's cancel is not."""
    pytester.makepyfile(
        guardian="def stop(client, order): return client.futures_create_order(**order)\n",
        raider="def cancel(client, **order): client.futures_cancel_order(symbol='BTCUSDT', **order)\n",
    )
    passed(
        run(
            """
import guardian, raider

def test_it(fake_client, exit_records):
    fake_client.futures_create_order(**OPEN)
    resting = {**OPEN, "type": "LIMIT", "price": 59000, "timeInForce": "GTC"}
    entry = fake_client.futures_create_order(**resting)
    placed = guardian.stop(fake_client, STOP)
    raider.cancel(fake_client, orderId=entry["orderId"])
    exit_records.nobody_but("guardian")
    raider.cancel(fake_client, algoId=placed["algoId"])
    with pytest.raises(AssertionError, match=r"(?m)^  cancel sl .* of guardian +raider +cancel:1 +accepted$"):
        exit_records.nobody_but("guardian")
    exit_records.placed_by("guardian").one()
    with pytest.raises(AssertionError):
        exit_records.placed_by("raider")
"""
        ),
        1,
    )


def test_a_failed_assertion_lists_what_was_recorded(run):
    """What was expected, and under it every order that there is instead."""
    result = run(
        """
def test_it(fake_client, exit_records):
    fake_client.futures_create_order(**OPEN)
    fake_client.futures_create_order(**STOP)
    with pytest.raises(Exception):
        fake_client.futures_create_order(**STOP)
    for wrong in (
        lambda: exit_records.placed_by("position_monitor"),
        lambda: exit_records.of_kind("tp"),
        lambda: exit_records.of_kind("sl").nobody_but("exit_brain_executor", "other"),
        lambda: exit_records.one(),
    ):
        with pytest.raises(AssertionError) as failed:
            wrong()
        print(failed.value)

def test_nothing(exit_records):
    exit_records.of_kind("sl")

def test_plain(fake_client, exit_records):
    fake_client.futures_create_order(**OPEN)
    fake_client.futures_create_order(**STOP)
    assert not exit_records
""",
        "-rP",
    )
    result.assert_outcomes(passed=1, failed=2)
    listing = [
        "  sl  BTCUSDT  SELL  STOP_MARKET  all at 59000  test_it  test_it:*  accepted",
        "  sl  BTCUSDT  SELL  STOP_MARKET  all at 59000  test_it  test_it:*  rejected -4130",
    ]
    result.stdout.fnmatch_lines(
        [
            "no exit order placed by 'position_monitor'; recorded:",
            *listing,
            "no exit order of kind 'tp'; recorded:",
            *listing,
            "2 exit orders of kind 'sl' by others than 'exit_brain_executor' or 'other':",
            *listing,
            "expected one exit order, there are 2:",
            *listing,
        ]
    )
    result.stdout.fnmatch_lines(["E*no exit order of kind 'sl'; recorded:", "E*  nothing"])
    result.stdout.fnmatch_lines(["E*assert not 1 exit order:*"])


# Isolation


def test_nothing_of_the_users_environment_reaches_a_test(run, monkeypatch, tmp_path):
    """Journal, mode, switch and proxies of the user's shell are out of the way, and back afterwards."""
    mine = tmp_path / "mine.db"
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(mine))
    monkeypatch.setenv("EXIT_MODE", "EXIT_BRAIN_V3")
    monkeypatch.setenv("EXIT_SHIM_DISABLED", "1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("EXIT_SHIM_SHIP_TO", "postgresql://exits@127.0.0.1:9/mine")
    monkeypatch.setenv("EXIT_SHIM_OTEL", "1")
    result = run(
        """
import os, exit_shim

def test_inside(binance_client, exit_records):
    exit_shim.wrap(binance_client).futures_create_order(**OPEN)
    binance_client.futures_create_order(**STOP)
    exit_records.one()
    assert not {"EXIT_SHIM_SHIP_TO", "EXIT_SHIM_OTEL"} & os.environ.keys()
    assert exit_shim.get_exit_order_metrics().get_summary()["total_orders"] == 1

def test_the_next(binance_client, exit_records):
    assert len(exit_records) == 0
    assert exit_shim.get_exit_order_metrics().get_summary()["total_orders"] == 0

def test_after():
    assert os.environ["EXIT_MODE"] == "EXIT_BRAIN_V3" and os.environ["EXIT_SHIM_DISABLED"] == "1"
    assert str(exit_shim.shim.default_shim().journal.path) == os.environ["EXIT_SHIM_JOURNAL"]
    exit_shim.shim.forget_default_shim()
"""
    )
    passed(result, 3)
    assert not mine.exists()


def test_the_users_tmp_path_stays_empty(run):
    """The journal of a test is not in the test's own tmp_path."""
    passed(
        run(
            """
def test_it(tmp_path, exit_records):
    assert list(tmp_path.iterdir()) == []
"""
        ),
        1,
    )


# The guard


def test_real_hosts_are_refused_with_the_name_of_who_asked(run, pytester):
    """By name or address, through requests, aiohttp, asyncio or a bare socket: refused."""
    pytester.makepyfile(
        bot="""
from binance import AsyncClient, Client

def connect():
    return Client()

async def connect_async():
    return await AsyncClient.create()
"""
    )
    passed(
        run(
            """
import socket
import aiohttp, requests
import bot

pytestmark = pytest.mark.usefixtures("fake_client")

def test_client(loop):
    with pytest.raises(requests.ConnectionError) as refused:
        bot.connect()
    for words in ("connect (", "bot.py:4", "through binance, requests, urllib3", "look up 'api.binance.com'",
                  "test_it.py::test_client", "exit_shim_allowed_hosts"):
        assert words in str(refused.value)

async def test_async_client():
    with pytest.raises(aiohttp.ClientConnectorError, match="look up 'api.binance.com'"):
        await bot.connect_async()

async def test_streams():
    with pytest.raises(ConnectionRefusedError, match=r"test_streams \\(.*fstream.binance.com"):
        await asyncio.open_connection("fstream.binance.com", 443)

@pytest.mark.parametrize("address", [("203.0.113.9", 443), ("2001:db8::9", 443, 0, 0)])
def test_addresses(address):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    for act in ("connect", "connect_ex"):
        with socket.socket(family) as sock, pytest.raises(ConnectionRefusedError, match="at port 443"):
            getattr(sock, act)(address)
    with socket.socket(family, socket.SOCK_DGRAM) as sock, pytest.raises(ConnectionRefusedError):
        sock.sendto(b"x", address)
    with socket.socket(family, socket.SOCK_DGRAM) as sock, pytest.raises(ConnectionRefusedError):
        sock.sendto(b"x", 0, address)

@pytest.mark.parametrize("look_up", ["getaddrinfo", "gethostbyname", "gethostbyname_ex"])
def test_names(look_up):
    with pytest.raises(ConnectionRefusedError, match="look up 'fapi.binance.invalid'"):
        getattr(socket, look_up)(*["fapi.binance.invalid", 443][: 2 if look_up == "getaddrinfo" else 1])

def test_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, server.getsockname()[1])).close()
    assert socket.gethostbyname("localhost") and socket.getaddrinfo("0.0.0.0", 80)
    left, right = socket.socketpair()
    left.close(), right.close()
"""
        ),
        9,
    )


def test_the_guard_goes_with_the_fixture(run):
    """Before and after a test with a fixture, sockets, look-ups and clients are what they were."""
    passed(
        run(
            """
import asyncio, socket
from binance.base_client import BaseClient

def seen():
    return (
        "connect" in vars(socket.socket), "sendto" in vars(socket.socket), socket.getaddrinfo,
        vars(asyncio.BaseEventLoop)["getaddrinfo"], BaseClient.__init__, BaseClient.FUTURES_URL,
    )

BEFORE = seen()

def test_with(local_exchange, exit_records):
    assert not any(now is before for now, before in zip(seen(), BEFORE, strict=True))

def test_without():
    assert seen() == BEFORE
"""
        ),
        2,
    )


def test_what_was_refused_is_shown_when_the_bot_swallows_it(run):
    """A bot that catches everything hides the refusal from its test; the report of a failed test does not."""
    result = run(
        """
import socket

def test_it(fake_client):
    try:
        socket.create_connection(("fapi.binance.invalid", 443))
    except Exception:
        pass
    assert False
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*exit_shim refused*", "test_it (*tried to look up 'fapi.binance.invalid'*"])


def test_hosts_that_a_test_needs_can_be_allowed(run):
    """An ini option names hosts, whose addresses are then allowed too."""
    passed(
        run(
            """
import socket

def test_it(fake_client, monkeypatch):
    with pytest.raises(ConnectionRefusedError):
        socket.getaddrinfo("other", 5432)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("postgres.invalid", 5432)
""",
            ini="exit_shim_allowed_hosts = postgres.invalid 10.0.0.5\n",
        ),
        1,
    )


def test_real_looking_keys_are_refused_and_not_repeated(run):
    """64 letters and digits as key or secret: no client is made, and the message holds none of them."""
    passed(
        run(
            """
from binance import AsyncClient, Client
from exit_shim.testing import FakeClient

KEY = "aB3" * 21 + "x"

def make_client(kind, *args, **kwargs):
    return kind(*args, **kwargs)

@pytest.mark.parametrize("kind", [Client, AsyncClient, FakeClient])
@pytest.mark.parametrize("keys", [(KEY, "s"), ("k", KEY)])
def test_positional(local_exchange, loop, kind, keys):
    with pytest.raises(PermissionError) as refused:
        make_client(kind, *keys)
    said = str(refused.value)
    assert KEY not in said and "make_client (" in said and "looks real" in said

def test_by_name(fake_client, loop):
    with pytest.raises(PermissionError):
        make_client(Client, api_key="k", api_secret=KEY)

def test_later():
    make_client(FakeClient, KEY, KEY)
"""
        ),
        8,
    )


def test_the_plugin_module_can_be_imported_without_pytest():
    """Tools that import every module of a package find nothing to fail on."""
    subprocess.run([sys.executable, "-c", "import exit_shim.testing.plugin"], check=True)
