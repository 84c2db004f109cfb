"""The page about ccxt: its examples run as they stand."""

import re

from ccxt_world import need_ccxt
from repository import ROOT

import exit_shim
from exit_shim.testing import LocalExchange

need_ccxt()

import ccxt  # noqa: E402 - where it is installed
from ccxt_world import markets, point  # noqa: E402

PAGE = ROOT / "docs/how-to/ccxt.md"


def test_the_examples_of_the_ccxt_page_run(recorded):
    """Wrapped, and with the classes covered besides, the order of the page is recorded once."""
    names = {}
    text = PAGE.read_text(encoding="utf-8")
    wrap, install, place = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    with LocalExchange() as exchange:
        exec(wrap, names)
        client = names["exchange"]
        point(client.urls["api"], exchange.url)
        client.set_markets(markets())
        client.create_order("BTC/USDT:USDT", "market", "buy", 0.01)
        exec(install, names)
        exec(place, names)
    (record,) = recorded()
    assert (record.intent.door, record.outcome.result) == ("POST /fapi/v1/algoOrder", "accepted")
    assert record.intent.order.kind == "tp"
    assert isinstance(client, ccxt.binanceusdm)
    exit_shim.uninstall()
