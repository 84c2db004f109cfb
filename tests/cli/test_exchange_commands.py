"""`exit-shim exchange set`, `fill`, `advance` and `state` against a running exchange."""

import errno
import json

import pytest
from click.testing import CliRunner

from exit_shim.cli import app
from exit_shim.testing import FakeClient, LocalExchange


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
