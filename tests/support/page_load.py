"""A bot that is busy, and how much page and server grow by it.

The long form is `python tests/support/page_load.py`: 50 events a second for 10 minutes. On 2026-11-29 the
document grew from 352 to 5,296 elements, its scripts from 2.3 to 3.4 MB, the server from 52 to 79 MB.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from browser import opened, started_chromium
from page_server import PageProcess

import exit_shim


class Sizes(NamedTuple):
    """How big page and server are.

    Attributes:
        nodes: The elements of the document.
        heap: The bytes of its scripts.
        resident: The bytes of the server.
    """

    nodes: int
    heap: int
    resident: int


def wait_for(page, script, expected):
    """Wait until a script of the page returns this; say what it returned last where it does not."""
    deadline = time.monotonic() + 60
    while (shown := page.evaluate(script)) != expected:
        assert time.monotonic() < deadline, (shown, expected)
        page.wait_for_timeout(50)


def feed_orders(journal, per_second, seconds):
    """Have a bot place and cancel exits of other modules evenly; yield after each second."""

    class FakeClient:
        number = 0

        def futures_create_order(self, **params):
            FakeClient.number += 1
            return {"algoId": self.number, "clientAlgoId": params["newClientOrderId"], "algoStatus": "NEW"}

        def futures_cancel_algo_order(self, **params):
            return {"algoId": params["algoId"], "code": "200", "msg": "success"}

    shim = exit_shim.ExitShim(journal=journal, account="busy", sinks=[])
    client = shim.wrap(FakeClient())
    fields = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "reduceOnly": True, "quantity": 1}
    with exit_shim.attributed("keeper"):
        client.futures_create_order(**fields, stopPrice=49_000, newClientOrderId="standing")
    start = time.monotonic()
    for second in range(seconds):
        # An order is an intent, an outcome, and a finding more often than not.
        for number in range(max(1, per_second // 5)):
            name = f"n{second}-{number}"
            with exit_shim.attributed("placer"):
                placed = client.futures_create_order(
                    **fields, stopPrice=50_000 + number, newClientOrderId=name
                )
            with exit_shim.attributed("canceller"):
                client.futures_cancel_algo_order(symbol="BTCUSDT", algoId=placed["algoId"])
        shim.flush()
        yield second
        time.sleep(max(0.0, start + second + 1 - time.monotonic()))
    shim.close()


def measure(page, server):
    """Return how big page and server are, after a collection of what is not used."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    nodes = page.evaluate("document.getElementsByTagName('*').length")
    return Sizes(nodes, metrics["JSHeapUsedSize"], server.resident_bytes())


def load_page(chromium, journal, *, per_second, seconds):
    """Return how big page and server are at the beginning, and after so many events."""
    events = feed_orders(journal, per_second, seconds)
    next(events)
    server = PageProcess(journal)
    try:
        with opened(chromium, server.url) as sheet:
            page = sheet.page
            page.wait_for_selector("#ladder .life")
            before = measure(page, server)
            for _ in events:
                # The browser works while playwright waits.
                page.wait_for_timeout(10)
            lines = min(120, seconds * (per_second // 5))
            wait_for(page, f"() => document.querySelectorAll('#feed li').length >= {lines}", expected=True)
            after = measure(page, server)
            assert sheet.complaints == []
            return before, after
    finally:
        server.kill()


def main():
    """Load a page, and print how it grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-second", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=600)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, started_chromium() as chromium:
        journal = Path(folder) / "journal.db"
        for sizes in load_page(chromium, journal, per_second=asked.per_second, seconds=asked.seconds):
            sys.stdout.write(f"{sizes}\n")


if __name__ == "__main__":
    main()
