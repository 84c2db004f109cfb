"""Orders in doubt from end to end: shim, journal, log, restart after kill -9, and `exit-shim reconcile`."""

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import requests
from abilities import RULES, needs_generated_ids
from binance import Client
from click.testing import CliRunner
from odd_server import OddServer, answer

import exit_shim
from exit_shim.cli import app
from exit_shim.cli.exchange_client import KEY_VARIABLE, SECRET_VARIABLE
from exit_shim.clients.accounts import key_label
from exit_shim.clients.registry import clone_client
from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Intent, Outcome
from exit_shim.domain.orders import ExitOrder
from exit_shim.journal import Journal, JournalReader, RecordFilter, read_records
from exit_shim.resolving import Budget, ExchangeReader, RetryPolicy
from exit_shim.resolving.questions import USDT_MARGINED, Question
from exit_shim.testing import FakeClient, LocalExchange, faults
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY

pytestmark = needs_generated_ids

QUICK = RetryPolicy(absent_after_s=0.6, looks=3, first_s=0.05, longest_s=0.2, weight_a_minute=600)
OPEN = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
LABEL = key_label(LOCAL_KEY)
CLOSE = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 0.01, "reduceOnly": "true"}


@pytest.fixture
def shim(monkeypatch):
    """The process-wide shim, as it is by default but for the patience."""
    monkeypatch.delenv("EXIT_SHIM_RESOLVE")
    own = exit_shim.ExitShim(resolve=QUICK)
    yield own
    own.close()


def settled(shim):
    """The records, once nothing is asked any more."""
    until = time.monotonic() + 60
    while shim.resolver.is_busy():
        assert time.monotonic() < until, shim.resolver.open_doubts()
        time.sleep(0.01)
    assert shim.journal.flush()
    return list(read_records(shim.journal.path))


def order_lost(client, exchange, fault=None):
    """A close whose answer does not come."""
    exchange.faults.inject(fault or faults.reset_after_execution(), method="POST", path="order")
    with pytest.raises(requests.RequestException):
        client.futures_create_order(**CLOSE)


def test_a_cancel_that_took_effect_is_known_to_the_guard(shim, client, exchange):
    """What a cancel in doubt is proved to have taken does not rest for the guard either."""
    stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000}
    wrapped = shim.wrap(client)
    wrapped.futures_create_order(**OPEN)
    placed = wrapped.futures_create_order(**stop, closePosition=True)
    exchange.faults.inject(faults.reset_after_execution(), method="DELETE", path="algoOrder")
    with pytest.raises(requests.RequestException):
        wrapped.futures_cancel_algo_order(symbol="BTCUSDT", algoId=placed["algoId"])
    assert settled(shim)[-1].resolution.result == "accepted"
    assert shim.guard.book.positions() == []


def test_what_is_found_is_an_event_of_its_own_and_a_log_line(shim, exchange, client, caplog):
    """By default an order in doubt is resolved: in the journal, about its intent, and loudly in the log."""
    caplog.set_level(logging.INFO, "exit_shim")
    client.futures_create_order(**OPEN)
    order_lost(shim.wrap(client), exchange)
    (record,) = settled(shim)
    assert record.outcome.result == "unknown"
    assert (record.resolution.result, record.resolution.status) == ("accepted", "FILLED")
    (event,) = [one for one in JournalReader(shim.journal.path).read_events() if one.event == "resolution"]
    assert event.about == f"{record.run_id}:{record.seq}"
    assert list(read_records(shim.journal.path, RecordFilter(in_doubt=True))) == []
    (line,) = [one for one in caplog.records if "no longer in doubt" in one.getMessage()]
    assert line.levelno == logging.ERROR
    said = line.getMessage()
    for part in ("[EXIT_GATEWAY]", "IS at the exchange", "status=FILLED", record.resolution.client_order_id):
        assert part in said
    assert f"order_id={record.resolution.order_id}" in said
    assert "GET /fapi/v1/order?" in said
    for secret in (LOCAL_KEY, "local-secret", "signature"):
        assert secret not in said + event.body


def test_what_never_arrived_is_no_alarm(shim, exchange, client, caplog):
    """Not there is what the bot believes already: information."""
    caplog.set_level(logging.INFO, "exit_shim")
    client.futures_create_order(**OPEN)
    order_lost(shim.wrap(client), exchange, faults.reset_unread())
    (record,) = settled(shim)
    assert record.resolution.result == "not_there"
    (line,) = [one for one in caplog.records if "no longer in doubt" in one.getMessage()]
    assert line.levelno == logging.INFO


def test_what_cannot_be_asked_is_logged_and_stays_in_doubt(shim, exchange, client, caplog):
    """A cancel-all of what this process did not place names no order: in doubt, with the reason."""
    exchange.faults.inject(faults.reset_after_execution(), method="DELETE")
    with pytest.raises(requests.RequestException):
        shim.wrap(client).futures_cancel_all_open_orders(symbol="BTCUSDT")
    (record,) = settled(shim)
    assert record.resolution is None
    assert 'stays IN DOUBT because="which orders it is about' in caplog.text


def test_nothing_that_it_asks_is_recorded(shim, exchange, client):
    """With the doors on python-binance's classes too: the resolver's requests are not the bot's."""
    client.futures_create_order(**OPEN)
    with shim.install():
        order_lost(client, exchange)
        records = settled(shim)
    assert [record.intent.door for record in records] == ["futures_create_order"]
    assert records[0].resolution.result == "accepted"
    assert shim.gateway.entry_orders() == 0


@pytest.mark.parametrize(
    ("written", "said", "on"),
    [(None, None, True), ("0", None, False), ("off", None, False), ("0", True, True), ("1", False, False)],
)
def test_the_resolver_can_be_turned_off(monkeypatch, written, said, on):
    """EXIT_SHIM_RESOLVE=0 or resolve=False; what the code says outranks the environment."""
    monkeypatch.delenv("EXIT_SHIM_RESOLVE")
    if written is not None:
        monkeypatch.setenv("EXIT_SHIM_RESOLVE", written)
    assert (exit_shim.ExitShim(resolve=said).resolver is not None) == on


def test_without_a_journal_there_is_none():
    """What cannot be written down is not asked."""
    assert exit_shim.ExitShim(journal=False, resolve=True).resolver is None


def test_a_fakes_order_in_doubt_is_nobodys_business(shim):
    """Neither a stand-in nor the in-process exchange is asked."""

    class Fake:
        API_KEY = "k"

        def futures_create_order(self, **params):
            raise TimeoutError

    for fake in (Fake(), FakeClient()):
        wrapped = shim.wrap(fake)
        if isinstance(fake, FakeClient):
            fake.exchange.faults.inject(faults.reset_after_execution(), method="POST", path="order")
        with pytest.raises((TimeoutError, requests.RequestException)):
            wrapped.futures_create_order(**CLOSE)
    assert not shim.resolver.is_busy()


def test_an_exchanges_errors_carry_no_secret_on(client):
    """An answer that echoes the key and the secret is kept without them."""
    echo = answer(
        400, {"code": -1102, "msg": "key the-planted-key secret the-planted-secret signature=abc123"}
    )
    with OddServer(echo) as server:
        own = Client("the-planted-key", "the-planted-secret", ping=False)
        own.FUTURES_URL = server.url + "/fapi"
        asker = ExchangeReader(clone_client(own), Budget(60))
        reply = asker.ask(Question(USDT_MARGINED.orders, "order", {"symbol": "BTCUSDT", "orderId": 1}))
        asker.close()
        close_client(own)
    assert "-1102" in reply.failure
    assert "planted" not in reply.failure
    assert "abc123" not in reply.failure
    assert "planted" not in repr((asker, asker.clone))


BOT = """
    import sys, time
    from binance import Client
    import exit_shim

    class Local(Client):
        FUTURES_URL, API_URL = sys.argv[1] + "/fapi", sys.argv[1] + "/api"

    client = exit_shim.wrap(Local("local-key", "local-secret", ping=False))
    if sys.argv[2] == "order":
        client.futures_create_order(
            symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.01, reduceOnly="true"
        )
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def bot(tmp_path, exchange):
    """Start a bot in a process of its own, which wraps a client and perhaps places an order."""
    path = tmp_path / "bot.py"
    path.write_text(textwrap.dedent(BOT))
    started = []

    def start(does):
        process = subprocess.Popen(
            [sys.executable, path, exchange.url, does],
            stdout=subprocess.PIPE,
            env={**os.environ, "EXIT_SHIM_RESOLVE": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def killed_amid_an_order(bot, exchange, client):
    """A bot dies by kill -9 after the exchange has executed its order and before the answer came."""
    client.futures_create_order(**OPEN)
    exchange.faults.inject(faults.delayed(30, answer_only=True), method="POST", path="order")
    process = bot("order")
    wait_for(lambda: not exchange.positions())
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_restarted_bot_takes_up_what_a_killed_one_left(bot, exchange, client):
    """After kill -9 amid an order, the next process that wraps a client of the account resolves it."""
    killed_amid_an_order(bot, exchange, client)
    path = os.environ["EXIT_SHIM_JOURNAL"]
    (left,) = read_records(path)
    assert left.outcome is None
    bot("wait")
    wait_for(lambda: next(iter(read_records(path))).resolution)
    (record,) = read_records(path)
    assert (record.resolution.result, record.resolution.status) == ("accepted", "FILLED")


def test_what_a_living_process_has_in_doubt_is_left_to_it(bot, exchange, client, shim):
    """An order that another process is just placing is that process's."""
    client.futures_create_order(**OPEN)
    exchange.faults.inject(faults.delayed(30, answer_only=True), method="POST", path="order")
    bot("order")
    wait_for(lambda: not exchange.positions())
    wait_for(lambda: list(read_records(shim.journal.path)))
    shim.wrap(client)
    wait_for(lambda: not shim.resolver.is_busy())
    assert cli("reconcile", "--local", exchange.url).returncode == 2


def test_the_resolver_does_not_keep_a_process_alive(bot, exchange):
    """A bot that ends while an order of its own is in doubt ends at once."""
    exchange.faults.inject(faults.reset_unread(), method="POST", path="order")
    process = bot("order")  # which ends by the exception of its order
    assert process.wait(timeout=60) == 1


def cli(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "exit_shim", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def in_doubt(exchange=None, ago_s=300, account=LABEL, **order):
    """Write an order in doubt into the journal, as of a process that has ended; by default one at live."""
    fields = {"kind": "close", "symbol": "BTCUSDT", "side": "SELL", "client_order_id": "gone-1", **order}
    with_ts = time.time_ns() - ago_s * 10**9
    journal = Journal(os.environ["EXIT_SHIM_JOURNAL"])
    intent = Intent(
        ts=with_ts,
        door="futures_create_order",
        operation="place",
        order=ExitOrder(**fields),
        attribution=Attribution(module="m", evidence="stack"),
        mode="LEGACY",
        account=account if exchange is None else f"{account}@127.0.0.1:{exchange.port}",
    )
    journal.append(Outcome("unknown"), (journal.run_id, journal.append(intent)))
    journal.close()


def test_reconcile_asks_and_writes_down(bot, exchange, client):
    """It resolves what a killed bot left, says what it found, and writes it in a run of its own."""
    killed_amid_an_order(bot, exchange, client)
    in_doubt(exchange)
    done = cli("reconcile", "--local", exchange.url)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "accepted, status FILLED" in done.stdout
    assert "gone-1" in done.stdout
    assert "not_there" in done.stdout
    path = os.environ["EXIT_SHIM_JOURNAL"]
    assert {record.resolution.result for record in read_records(path)} == {"accepted", "not_there"}
    runs = {record.run_id for record in read_records(path)}
    assert {
        event.run_id for event in JournalReader(path).read_events() if event.event == "resolution"
    }.isdisjoint(runs)
    again = cli("reconcile", "--local", exchange.url)
    assert (again.returncode, again.stdout) == (0, "No orders are in doubt.\n")
    changing = [request for request in exchange.order_requests if request.method != "POST"]
    assert changing == []
    assert len(exchange.order_requests) == 2


def test_reconcile_in_json(exchange):
    """Each resolved order is one JSON line, as `records --json` prints it."""
    in_doubt(exchange)
    done = cli("reconcile", "--local", exchange.url, "--json")
    assert done.returncode == 0
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["client_order_id"], line["resolution"]) == ("gone-1", "not_there")


def test_reconcile_without_keys_says_what_to_do(monkeypatch):
    """It lists what is in doubt and asks nobody."""
    monkeypatch.delenv("BINANCE_API_KEY", raising=False)
    in_doubt()
    done = cli("reconcile")
    assert done.returncode == 2
    assert "in doubt" in done.stdout
    assert "BINANCE_API_KEY and BINANCE_API_SECRET" in done.stderr


def test_reconcile_does_not_ask_one_account_about_anothers_orders(exchange):
    """An order of another key stays in doubt, and its account is named."""
    in_doubt(exchange)
    done = cli("reconcile", "--local", exchange.url, BINANCE_API_KEY="other", BINANCE_API_SECRET="s")
    assert done.returncode == 2
    assert f"1 order in doubt of account {LABEL}@127.0.0.1:{exchange.port}" in done.stderr
    assert exchange.requests == []


@pytest.mark.parametrize("place", ["", "@testnet", "@127.0.0.1:1"])
def test_reconcile_asks_no_exchange_about_anothers_orders(exchange, place):
    """What went to live, to the testnet or to another port stays in doubt, and says where it went."""
    in_doubt(account=LABEL + place)
    for words in ([], ["--account", LABEL], ["--account", f"{LABEL}@elsewhere"]):
        done = cli("reconcile", "--local", exchange.url, *words)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
    assert f"--account {LABEL}@elsewhere is at another exchange" in done.stderr
    assert exchange.requests == []
    (record,) = read_records(os.environ["EXIT_SHIM_JOURNAL"])
    assert record.resolution is None


def test_reconcile_finds_an_account_that_has_a_name(exchange):
    """--account takes the name, or the whole label."""
    for label in ("main", f"main@127.0.0.1:{exchange.port}"):
        in_doubt(exchange, account="main", client_order_id=f"gone-{len(label)}")
        done = cli("reconcile", "--local", exchange.url, "--account", label)
        assert (done.returncode, "not_there" in done.stdout) == (0, True)


@pytest.mark.skipif(not hasattr(Client, "FUTURES_DEMO_URL"), reason="this python-binance knows no demo")
@pytest.mark.parametrize("flag", ["testnet", "demo"])
def test_reconcile_asks_the_testnet_and_the_demo_exchange(exchange, monkeypatch, flag):
    """python-binance's own flag chooses the address, and only what went there is asked about."""
    for name in ("FUTURES_URL", f"FUTURES_{flag.upper()}_URL"):
        monkeypatch.setattr(Client, name, "http://127.0.0.1:1/fapi")
    in_doubt()
    in_doubt(exchange)
    keys = {"BINANCE_API_KEY": LOCAL_KEY, "BINANCE_API_SECRET": "local-secret"}
    monkeypatch.setattr(Client, f"FUTURES_{flag.upper()}_URL", f"{exchange.url}/fapi")
    done = CliRunner().invoke(app, ["reconcile", f"--{flag}"], env=keys)
    assert (done.exit_code, done.output.count("not_there")) == (0, 1)
    assert f"asking 127.0.0.1:{exchange.port} about 1 order in doubt" in done.output
    assert f"1 order in doubt of account {LABEL}\n" in done.output


@pytest.mark.parametrize("words", [["--testnet", "--demo"], ["--local", "http://127.0.0.1:1", "--demo"]])
@pytest.mark.parametrize("command", ["reconcile", "audit"])
def test_one_exchange_is_asked(command, words):
    """More than one of --local, --testnet and --demo is a mistake, and said."""
    done = cli(command, *words)
    assert (done.returncode, "are three exchanges" in done.stderr) == (2, True)


def test_a_flag_that_python_binance_ignores_is_refused(monkeypatch):
    """A release that sends orders of its testnet to live is not asked there in the testnet's name."""
    monkeypatch.delattr(Client.__mro__[-2], "FUTURES_TESTNET_URL", raising=False)
    in_doubt()
    done = CliRunner().invoke(app, ["reconcile", "--testnet"], env={KEY_VARIABLE: "k", SECRET_VARIABLE: "s"})
    assert (done.exit_code, "of testnet to live" in done.output) == (2, True)


def test_the_same_key_at_two_exchanges_is_two_accounts(exchange, client, shim):
    """What a run left in doubt at one exchange is not looked for at another, also by one process."""
    with LocalExchange(rules=RULES) as other:
        other.register(LOCAL_KEY, "local-secret")
        in_doubt(other, client_order_id="at-other")
        in_doubt(client_order_id="at-live")
        in_doubt(exchange, client_order_id="here")
        shim.wrap(client)
        found = {one.intent.order.client_order_id: one.resolution for one in settled(shim)}
        assert {name for name, known in found.items() if known} == {"here"}
        assert other.requests == []
        elsewhere = Client(LOCAL_KEY, "local-secret")
        elsewhere.FUTURES_URL = f"{other.url}/fapi"
        shim.wrap(elsewhere)
        found = {one.intent.order.client_order_id: one.resolution for one in settled(shim)}
        assert {name for name, known in found.items() if known} == {"here", "at-other"}
        assert other.requests != []
        close_client(elsewhere)


def test_reconcile_says_when_it_cannot_ask(exchange):
    """An exchange that is not there, and a key that it does not take."""
    in_doubt(exchange)
    assert cli("reconcile", "--local", "http://127.0.0.1:1").returncode == 2
    wrong = cli("reconcile", "--local", exchange.url, BINANCE_API_SECRET="wrong", BINANCE_API_KEY=LOCAL_KEY)
    assert wrong.returncode == 2
    assert "-1022" in wrong.stderr
    assert "wrong" not in wrong.stderr


def test_reconcile_takes_only_this_machine_for_local():
    """A key is not signed with for whoever --local names."""
    done = cli("reconcile", "--local", "http://exchange.invalid:80")
    assert done.returncode == 2
    assert "not on this machine" in done.stderr


def test_reconcile_says_what_stays_in_doubt(exchange):
    """An order without a client order id cannot be asked about: status 1, with the reason."""
    in_doubt(exchange, client_order_id=None)
    done = cli("reconcile", "--local", exchange.url)
    assert done.returncode == 1
    assert "it has no client order id to ask for" in done.stderr


def test_nothing_in_doubt_is_no_failure():
    """A journal without doubts is status 0."""
    journal = Journal(os.environ["EXIT_SHIM_JOURNAL"])
    journal.open()
    journal.close()
    done = cli("reconcile")
    assert (done.returncode, done.stdout) == (0, "No orders are in doubt.\n")
