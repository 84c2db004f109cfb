"""`exit-shim exchange set`, `book`, `trade`, `fill`, `advance`, `market` and `state`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from exit_shim.cli.exchange_request import answer_option, ask, say_answer, url_option
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.output import say
from exit_shim.cli.tables import show_table

UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Duration(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A length of time: 250ms, 90s, 15m, 2h, 1d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return milliseconds."""
        if isinstance(value, int):
            return value
        length = re.fullmatch(r"([0-9]{1,12})(ms|[smhd])", value)
        if length is None:
            self.fail(f"{value!r} is not a length of time; expected 250ms, 90s, 15m, 2h or 1d", param, ctx)
        return int(length[1]) * UNITS[length[2]]


@click.command("set")
@click.argument("symbol")
@click.argument("price", required=False)
@click.option("--mark", metavar="PRICE", help="The mark price, where it differs.")
@click.option("--last", metavar="PRICE", help="The last price, where it differs.")
@click.option("--bid", metavar="PRICE", help="The best bid, where it differs.")
@click.option("--ask", metavar="PRICE", help="The best ask, where it differs.")
@answer_option
@url_option
def set_price(*, symbol: str, price: str | None, as_json: bool, url: str, **others: str | None) -> None:
    """Set the prices of SYMBOL.

    All prices become PRICE, except those set by an option; without PRICE only these change. Orders that the
    new prices reach trade at once, and stops fire.
    """
    answer = ask(url, "POST", "price", {"symbol": symbol.upper(), "price": price, **others})
    say_answer(answer, quote_line(answer), as_json=as_json)


class Level(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A level of a book: PRICE:QUANTITY."""

    name = "level"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return price and quantity as they were written."""
        if isinstance(value, tuple):
            return value
        price, colon, quantity = value.partition(":")
        if not (price and colon and quantity):
            self.fail(f"{value!r} is not a level; expected PRICE:QUANTITY, such as 59990:1.5", param, ctx)
        return price, quantity


@click.command("book")
@click.argument("symbol")
@click.option("--bid", "bids", type=Level(), metavar="PRICE:QUANTITY", multiple=True, help="A level of bids.")
@click.option("--ask", "asks", type=Level(), metavar="PRICE:QUANTITY", multiple=True, help="A level of asks.")
@answer_option
@url_option
def set_book(
    *,
    symbol: str,
    bids: tuple[tuple[str, str], ...],
    asks: tuple[tuple[str, str], ...],
    as_json: bool,
    url: str,
) -> None:
    """Give SYMBOL a book of levels.

    Orders take from it until it is empty. It stays until `set` changes all prices, the bid or the ask.
    """
    answer = ask(url, "POST", "book", {"symbol": symbol.upper(), "bids": bids, "asks": asks})
    say_answer(answer, quote_line(answer), as_json=as_json)


@click.command("trade")
@click.argument("symbol")
@click.argument("price")
@click.argument("quantity")
@answer_option
@url_option
def trade(*, symbol: str, price: str, quantity: str, as_json: bool, url: str) -> None:
    """Trade SYMBOL as somebody else.

    Resting orders at PRICE or better are filled first, up to QUANTITY. The last price becomes PRICE, and
    stops fire on it.
    """
    fields = {"symbol": symbol.upper(), "price": price, "quantity": quantity}
    answer = ask(url, "POST", "trade", fields)
    say_answer(answer, quote_line(answer), as_json=as_json)


@click.command("fill")
@click.argument("symbol")
@click.argument("order")
@click.option("--quantity", metavar="Q", help="Fill only this quantity.")
@answer_option
@url_option
def fill_order(*, symbol: str, order: str, quantity: str | None, as_json: bool, url: str) -> None:
    """Fill a resting order at its own price.

    ORDER is its orderId or client order id. Prices do not change.
    """
    key = "orderId" if order.isdecimal() else "origClientOrderId"
    fields = {"symbol": symbol.upper(), key: order, "quantity": quantity}
    answer = ask(url, "POST", "fill", fields)
    text = f"{answer['orderId']} {answer['status']}, filled {answer['executedQty']} of {answer['origQty']}"
    say_answer(answer, text, as_json=as_json)


@click.command("advance")
@click.argument("duration", type=Duration())
@answer_option
@url_option
def advance_time(*, duration: int, as_json: bool, url: str) -> None:
    """Let the exchange's time pass without waiting.

    DURATION is a length of time: 250ms, 90s, 15m, 2h, 1d.
    """
    answer = ask(url, "POST", "advance", {"milliseconds": duration})
    say_answer(answer, f"now {answer['now']}", as_json=as_json)


@click.command("market")
@click.argument("mode", required=False)
@click.argument("files", type=click.Path(path_type=Path), metavar="[FILE]...", nargs=-1)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the random prices.")
@click.option("--speed", type=float, metavar="N", help="How many steps prices take a second.")
@answer_option
@url_option
def choose_market(
    *, mode: str | None, files: tuple[Path, ...], seed: int, speed: float | None, as_json: bool, url: str
) -> None:
    """Show how prices move, or change it to MODE.

    MODE is flat (prices stand still until set), random, trend, crash, or replay with FILEs of candles: CSV,
    named for their symbols (BTCUSDT-1m.csv).
    """
    paths = [str(file.absolute()) for file in files]
    if mode is None:
        answer = ask(url, "GET", "market")
    else:
        answer = ask(url, "POST", "market", {"mode": mode, "seed": seed, "speed": speed, "files": paths})
    name = answer["mode"] or "a market of its own"
    say_answer(answer, f"{name}, {answer['speed']:g} steps a second", as_json=as_json)


@click.command("state")
@click.option("--symbol", metavar="S", help="Only this symbol.")
@answer_option
@url_option
def show_state(*, symbol: str | None, as_json: bool, url: str) -> None:
    """Show positions and all open orders."""
    state = ask(url, "GET", "state", {"symbol": symbol and symbol.upper()})
    if as_json:
        say(json_text(state))
        return
    positions, orders = state["positions"], state["orders"] + state["algoOrders"]
    if positions:
        show_table(
            ("symbol", "side", "amount", "entry", "mark", "liquidation"), list(map(position_row, positions))
        )
    if orders:
        show_table(
            ("symbol", "side", "type", "quantity", "price", "trigger", "order"), list(map(order_row, orders))
        )
    if not positions and not orders:
        say("no positions, no open orders")


def quote_line(answer: Mapping[str, str]) -> str:
    """Return the prices of a symbol as a line."""
    return "  ".join(f"{name} {value}" if name != "symbol" else value for name, value in answer.items())


def position_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a position."""
    names = "symbol", "positionSide", "positionAmt", "entryPrice", "markPrice", "liquidationPrice"
    return tuple(str(row[name]) for name in names)


def order_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of an open order of either kind."""
    kind, size = row.get("orderType") or row["type"], row.get("quantity") or row["origQty"]
    trigger, name = row.get("triggerPrice", ""), row.get("algoId") or row["orderId"]
    return row["symbol"], row["side"], kind, size, row["price"], trigger, str(name)
