"""The subcommands of `exit-shim exchange` against a running exchange."""

import errno
import json
import re
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import click
import pytest
from binance.exceptions import BinanceAPIException
from click.testing import CliRunner

from exit_shim.cli import app
from exit_shim.testing import FakeClient, LocalExchange, WalkingMarket


@pytest.fixture
def exchange():
    with LocalExchange() as local:
        yield local


def command(exchange, name, *words):
    """Run a subcommand on the exchange; return its status and what it says."""
    done = CliRunner().invoke(
        app, ["exchange", name, *map(str, words), "--url", exchange.url], catch_exceptions=False
    )
    return done.exit_code, done.output


def test_prices_of_another_process_are_set(exchange):
    """All prices follow PRICE, but the one with an option of its own."""
    assert command(exchange, "set", "btcusdt", 59_000, "--mark", 59_010)[0] == 0
    quote = exchange.engine.quote("BTCUSDT")
    assert (quote.mark, quote.last) == (59_010, 59_000)


def test_an_order_is_filled_and_shown(exchange):
    """An order shows in the state, by its id a part of it is filled, and a position follows."""
    order = FakeClient(exchange=exchange).futures_create_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity=0.01, price=50_000
    )
    assert str(order["orderId"]) in command(exchange, "state")[1]
    assert command(exchange, "fill", "BTCUSDT", order["orderId"], "--quantity", "0.004") == (
        0,
        f"{order['orderId']} PARTIALLY_FILLED, filled 0.004 of 0.010\n",
    )
    shown = json.loads(command(exchange, "state", "--symbol", "btcusdt", "--json")[1])
    assert [row["positionAmt"] for row in shown["positions"]] == ["0.004"]
    assert "0.004" in command(exchange, "state")[1]


def test_nothing_open_is_said(exchange):
    """An account without positions and orders gives no empty tables."""
    assert command(exchange, "state") == (0, "no positions, no open orders\n")


def test_time_is_added(exchange):
    """A length of time with its unit is added to the exchange's clock."""
    assert command(exchange, "advance", "15m")[0] == 0
    assert exchange.engine.ahead == 15 * 60_000


@pytest.fixture
def client(exchange):
    return FakeClient(exchange=exchange)


def buy(client, price=50_000):
    return client.futures_create_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity=0.01, price=price
    )


def test_a_book_is_given_and_others_trade(exchange, client):
    """Levels are PRICE:QUANTITY, and a foreign trade fills what rests at a better price."""
    said = command(exchange, "book", "btcusdt", "--bid", "59990:1", "--ask", "60010:2", "--ask", "60020.5:3")
    assert (said[0], "bid 59990" in said[1], "ask 60010" in said[1]) == (0, True, True)
    assert [str(level.price) for level in exchange.engine.state.books["BTCUSDT"].asks] == ["60010", "60020.5"]
    order = buy(client)
    assert command(exchange, "trade", "BTCUSDT", "49999", "0.004")[0] == 0
    assert client.futures_get_order(symbol="BTCUSDT", orderId=order["orderId"])["executedQty"] == "0.004"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("book", "BTCUSDT", "--bid", "59990"), "'59990' is not a level; expected PRICE:QUANTITY"),
        (("fault", "banned", "seconds"), "'seconds' is not a field; expected NAME=VALUE"),
        (("fault", "banned", "--times", "often"), "'often' is not a number of times; expected 1, 2"),
        (("requests", "--limit", "0"), "0 is not in the range"),
    ],
)
def test_a_malformed_word_is_named(exchange, words, said):
    """Before anything is sent, it is said what was expected."""
    status, output = command(exchange, *words)
    assert (status, said in output) == (2, True), output


def test_the_market_is_said_and_chosen(exchange):
    """Without a mode it is said, and with one it is another from then on."""
    assert command(exchange, "market") == (0, "flat, 1 steps a second\n")
    assert command(exchange, "market", "random", "--speed", 0.5) == (0, "random, 0.5 steps a second\n")
    assert isinstance(exchange.engine.state.market, WalkingMarket)


def test_a_fault_happens_and_is_cleared(exchange, client):
    """Arguments are those of the fault, the rule says when, and a list how often it has hit."""
    words = ["seconds=60", "--path", "order", "--where", "side=buy", "--times", "always"]
    assert command(exchange, "fault", "banned", *words)[0] == 0
    with pytest.raises(BinanceAPIException, match="banned until"):
        buy(client)
    (rule,) = json.loads(command(exchange, "faults", "--json")[1])
    assert (rule["fault"], rule["times"], rule["hits"], rule["where"]) == ("banned", None, 1, {"side": "buy"})
    assert "always" in command(exchange, "faults")[1]
    assert command(exchange, "clear-faults", "banned") == (0, "no faults\n")
    assert buy(client)["status"] == "NEW"


def test_requests_are_listed_with_their_outcome(exchange, client):
    """Each has its status and code; what was asked for and is not there has a list of its own."""
    assert command(exchange, "requests") == (0, "no requests\n")
    assert command(exchange, "unanswered") == (0, "nothing is missing\n")
    buy(client)
    with pytest.raises(BinanceAPIException):
        client.futures_get_order(symbol="BTCUSDT", orderId=1)
    said = command(exchange, "requests")[1]
    assert "400 -2013" in said
    assert "price=50000" in said
    assert len(json.loads(command(exchange, "requests", "--limit", "1", "--json")[1])) == 1
    urllib.request.urlopen(f"{exchange.url}/exchange/state").close()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{exchange.url}/fapi/v1/nothing")
    refused.value.close()
    assert "GET /fapi/v1/nothing" in command(exchange, "unanswered")[1]


def test_a_key_is_accepted(exchange):
    """The key may trade, or with --read-only only read."""
    assert command(exchange, "key", "mine", "secret", "--read-only") == (0, "accepted mine for reading\n")
    shown = json.loads(command(exchange, "key", "third", "secret", "--read-only", "--json")[1])
    assert (shown["canRead"], shown["canTrade"]) == (True, False)
    assert json.loads(command(exchange, "key", "other", "secret", "--json")[1])["canTrade"] is True


def test_the_exchange_is_saved_loaded_and_reset(exchange, client, tmp_path):
    """A saved file brings back its orders, and a reset none."""
    buy(client)
    assert command(exchange, "save", tmp_path / "state.json")[0] == 0
    buy(client, 51_000)
    assert command(exchange, "load", tmp_path / "state.json")[0] == 0
    assert [order["price"] for order in exchange.open_orders()] == ["50000.00"]
    assert command(exchange, "reset")[0] == 0
    assert exchange.open_orders() == []
    (tmp_path / "state.json").write_text("{}")
    status, said = command(exchange, "load", tmp_path / "state.json")
    assert (status, "not a saved exchange" in said) == (1, True)


def test_every_command_prints_json(exchange):
    """Whatever prints an answer has --json, and none but `save` lacks it."""
    group = app.get_command(click.Context(app), "exchange")
    without = [
        name
        for name, each in group.commands.items()
        if "as_json" not in {param.name for param in each.params}
    ]
    assert without == ["save"]


def test_what_the_exchange_refuses_is_one_line(exchange):
    """Its text and code are shown, and the status is 1."""
    assert command(exchange, "set", "NONE", 1) == (
        1,
        f"Error: {exchange.url} refuses: Invalid symbol. (-1121)\n",
    )


def test_a_duration_without_a_unit_is_refused(exchange):
    """A bare number could be anything."""
    status, said = command(exchange, "advance", "15")
    assert (status, "'15' is not a length of time; expected 250ms" in said) == (2, True)


def test_no_exchange_is_said(exchange):
    """Where nothing listens, the way out is named."""
    exchange.stop()
    done = CliRunner().invoke(app, ["exchange", "state", "--url", "127.0.0.1:9"])
    assert done.exit_code == 1
    assert "no local exchange answers at http://127.0.0.1:9: Connection refused; start one" in done.output


def test_only_this_machine_is_asked():
    """An address elsewhere is refused before anything is sent."""
    done = CliRunner().invoke(app, ["exchange", "set", "BTCUSDT", "1", "--url", "example.com:80"])
    assert (done.exit_code, "is not on this machine" in done.output) == (2, True)


@pytest.mark.parametrize(("words", "strict"), [([], True), (["--lenient-reduce-only"], False)])
def test_the_exchange_starts_in_either_reading(monkeypatch, words, strict):
    """It is strict unless asked, and lets time pass while a stop fires."""
    made = []

    def stop(local):
        made.append(local.engine.state)
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(LocalExchange, "start", stop)
    done = CliRunner().invoke(app, ["exchange", *words])
    assert (done.exit_code, "Address already in use" in done.output) == (1, True)
    assert [(state.strict_reduce_only, state.trigger_delay) for state in made] == [(strict, (17, 400))]


def test_a_client_trusts_the_authority_that_was_written(tmp_path):
    """With --tls only clients that trust the certificate in the file get an answer."""
    pytest.importorskip("trustme")
    file = tmp_path / "ca.pem"
    words = [sys.executable, "-m", "exit_shim", "exchange", "--tls", "--tls-ca", str(file), "--any-key"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = "".join(read_until(process, "names"))
            url = re.search(r"with TLS at (https://\S+);", said)[1]
            context = ssl.create_default_context(cafile=file)
            for name in (url, url.replace("127.0.0.1", "localhost")):
                with urllib.request.urlopen(f"{name}/fapi/v1/ping", context=context) as answer:
                    assert answer.status == 200
            with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
                urllib.request.urlopen(f"{url}/fapi/v1/ping")
        finally:
            process.send_signal(signal.SIGINT)
            # Without a reader its last words would fail.
            process.stdout.read()
    assert f"NODE_EXTRA_CA_CERTS={file}" in said
    assert process.returncode == 0


def read_until(process, word):
    """The lines that a process prints, up to one that begins with `word`."""
    for line in process.stdout:
        yield line
        if line.startswith(word):
            return


def test_a_certificate_that_cannot_be_written_is_said(tmp_path):
    """Before it listens, the way out is named."""
    pytest.importorskip("trustme")
    done = CliRunner().invoke(app, ["exchange", "--tls", "--tls-ca", str(tmp_path / "no" / "ca.pem")])
    assert (done.exit_code, "name another --tls-ca" in done.output) == (1, True)
