"""`exit-shim exchange set`, `fill`, `advance`, `state`: control a local exchange of another process."""

import http.client
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import click

from exit_shim.cli.exchange_client import LocalUrl
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import json_option
from exit_shim.cli.output import say
from exit_shim.cli.tables import show_table

DEFAULT_URL: Final = "http://127.0.0.1:8080"
OK: Final = 200
#: Seconds that the exchange has for its answer.
PATIENCE: Final = 30
UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

url_option = click.option(
    "--url",
    type=LocalUrl(),
    default=DEFAULT_URL,
    show_default=True,
    help="The local exchange at URL or HOST:PORT.",
)


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
@url_option
def set_price(*, symbol: str, price: str | None, url: str, **others: str | None) -> None:
    """Set the prices of SYMBOL.

    All of them become PRICE, but those that have an option of their own; without PRICE only these change.
    Resting orders and stops that the new prices reach trade at once.
    """
    answer = ask(url, "POST", "price", {"symbol": symbol.upper(), "price": price, **others})
    say("  ".join(f"{name} {value}" if name != "symbol" else value for name, value in answer.items()))


@click.command("fill")
@click.argument("symbol")
@click.argument("order")
@click.option("--quantity", metavar="Q", help="Fill only this quantity.")
@url_option
def fill_order(*, symbol: str, order: str, quantity: str | None, url: str) -> None:
    """Fill a resting order.

    ORDER is its orderId or client order id; it is filled at its own price, and prices stay.
    """
    key = "orderId" if order.isdecimal() else "origClientOrderId"
    fields = {"symbol": symbol.upper(), key: order, "quantity": quantity}
    answer = ask(url, "POST", "fill", fields)
    say(f"{answer['orderId']} {answer['status']}, filled {answer['executedQty']} of {answer['origQty']}")


@click.command("advance")
@click.argument("duration", type=Duration())
@url_option
def advance_time(*, duration: int, url: str) -> None:
    """Let the exchange's time pass without waiting.

    DURATION is a length of time: 250ms, 90s, 15m, 2h, 1d.
    """
    say(f"now {ask(url, 'POST', 'advance', {'milliseconds': str(duration)})['now']}")


@click.command("state")
@click.option("--symbol", metavar="S", help="Only this symbol.")
@json_option
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


def position_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a position."""
    names = "symbol", "positionSide", "positionAmt", "entryPrice", "markPrice", "liquidationPrice"
    return tuple(str(row[name]) for name in names)


def order_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of an open order of either kind."""
    kind, size = row.get("orderType") or row["type"], row.get("quantity") or row["origQty"]
    trigger, name = row.get("triggerPrice", ""), row.get("algoId") or row["orderId"]
    return row["symbol"], row["side"], kind, size, row["price"], trigger, str(name)


def ask(url: str, method: str, action: str, fields: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the answer to a control request; end the command where there is none."""
    query = urlencode({name: value for name, value in fields.items() if value is not None})
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request(method, f"/exchange/{action}?{query}")
        response = connection.getresponse()
        status, answer = response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise click.ClickException(
            f"no local exchange answers at {url}: {why}; start one with `exit-shim exchange --port 8080`, or "
            "name its address with --url"
        ) from error
    finally:
        connection.close()
    if status != OK:
        code = f" ({answer['code']})" if "code" in answer else ""
        raise click.ClickException(f"{url} refuses: {answer.get('msg', answer)}{code}")
    return dict(answer)
