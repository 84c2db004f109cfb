"""Honest: who asked for what, and what came of it, is recorded as it was, whatever the client library."""

import linecache
import time
from pathlib import Path

import client_drivers
import pytest
from client_drivers.driver import Ids
from promise_worlds import AMENDED, BATCH

import exit_shim
from exit_shim.journal import read_records
from exit_shim.resolving import RetryPolicy
from exit_shim.testing import faults

FOLDER = Path(client_drivers.__file__).parent
QUICK = RetryPolicy(absent_after_s=0.6, looks=3, first_s=0.02, longest_s=0.2, weight_a_minute=600)


def flat(recorded):
    """Return the records of exits, cancels and changes as `records --json` prints them."""
    return [record.flat() for record in recorded()]


def of_last(recorded, *names):
    """Return some fields of the last record."""
    row = flat(recorded)[-1]
    return tuple(row[name] for name in names)


@pytest.fixture
def long(covered):
    """A covered client with a position, which is no exit and has no record."""
    covered.call("open_position")
    return covered


def test_what_was_asked_and_answered(long, recorded):
    """Each kind of exit, cancel and change is recorded with its kind, fields, ids and target."""
    stop = long.ids_of(long.call("place_stop", 50_000))
    target = long.ids_of(long.call("place_target", 70_000))
    trailing = long.ids_of(long.call("place_trailing", 1))
    limit = long.ids_of(long.call("place_limit_exit", "65000"))
    long.call("amend", limit.order_id, AMENDED)
    long.call("cancel", target)
    long.call("cancel", limit)
    long.call("cancel_all", "conditional")
    close = long.ids_of(long.call("market_close"))
    rows = flat(recorded)
    assert [(row["operation"], row["kind"], row["type"]) for row in rows] == [
        ("place", "sl", "STOP_MARKET"),
        ("place", "tp", "TAKE_PROFIT_MARKET"),
        ("place", "trailing", "TRAILING_STOP_MARKET"),
        ("place", "other_exit", "LIMIT"),
        ("modify", "other_exit", rows[4]["type"]),
        ("cancel", "tp", None),
        ("cancel", "other_exit", None),
        ("cancel", "unknown", None),
        ("place", "close", "MARKET"),
    ]
    assert {row["outcome"] for row in rows} == {"accepted"}
    assert {row["symbol"] for row in rows} - {None} == {
        "BTCUSDT"
    }  # a conditional order's cancel may name none
    for row, ids in ((0, stop), (1, target), (2, trailing), (3, limit), (8, close)):
        assert (rows[row]["order_id"], rows[row]["algo_id"]) == (ids.order_id, ids.algo_id)
        assert rows[row]["client_order_id"] == ids.client_order_id
    assert [float(rows[row]["trigger_price"]) for row in (0, 1)] == [50_000, 70_000]
    assert (rows[0]["close_position"], rows[1]["reduce_only"], float(rows[3]["price"])) == (
        True,
        True,
        65_000,
    )
    assert float(rows[2]["callback_rate"]) == 1
    for row in (4, 5, 6):
        (found,) = rows[row]["targets"]
        assert found["module"] == rows[0]["module"], rows[row]
        assert found["kind"] == rows[row]["kind"]
    assert {found["kind"] for found in rows[7]["targets"]} == {"sl", "trailing"}
    assert len({row["account"] for row in rows}) == 1
    assert rows[0]["account"].startswith("key-")


def test_each_order_of_a_batch(long, recorded):
    """A batch has a record per order, each with its own ids."""
    answer = long.read(long.call("batch", BATCH))
    rows = flat(recorded)
    assert [row["order_id"] for row in rows] == [int(order["orderId"]) for order in answer]
    assert [float(row["price"]) for row in rows] == [66_000, 67_000]
    assert [row["batch_index"] for row in rows] == [0, 1]


def test_who_asked(long, recorded):
    """The module, the function, the file and the line are those where the bot called the library."""
    long.call("place_stop", 50_000)
    long.call("market_close")
    for row in flat(recorded):
        file = Path(row["file"])
        assert file.parent == FOLDER
        assert row["module"] == file.stem
        assert row["function"].rpartition(".")[2] in {"place", "send"}
        assert "self.client." in linecache.getline(str(file), row["line"])
        assert row["evidence"] in {"stack", "carried"}


def test_who_is_declared(long, recorded):
    """A declared module is recorded with evidence "context"."""
    with exit_shim.attributed("brain", explanation="why"):
        long.call("place_stop", 50_000)
    assert of_last(recorded, "module", "evidence", "explanation") == ("brain", "context", "why")


REFUSALS = {
    -2021: ("place_target", 50_000),
    -4130: ("place_stop", 49_000),
    -2011: ("cancel", Ids(999_999, None, None)),
}
"""What the exchange refuses, by its code."""


def test_a_refusal_is_rejected_by_its_code(long, recorded):
    """What the exchange refused is "rejected", with Binance's code; the bot gets the library's own error."""
    long.call("place_stop", 50_000)
    found = {}
    for code, (word, argument) in REFUSALS.items():
        reply = long.attempt(word, argument)
        assert reply.error is None or isinstance(reply.error, long.refusals)
        assert long.code_of(reply) == code
        found[code] = of_last(recorded, "outcome", "error_code")
    assert found == {code: ("rejected", code) for code in REFUSALS}


FAULTS = {
    "503 executed": (faults.unknown_error(executed=True), "unknown", None),
    "503 not executed": (faults.unknown_error(executed=False), "unknown", None),
    "408": (faults.timed_out(executed=True), "unknown", -1007),
    "-1006": (faults.unexpected_response(executed=False), "unknown", -1006),
    "page": (faults.html_error(executed=False), "unknown", None),
    "reset after": (faults.reset_after_execution(), "unknown", None),
    "reset before": (faults.reset_before_execution(), "unknown", None),
    "429": (faults.too_many_requests(), "rejected", -1003),
    "unavailable": (faults.service_unavailable(), "rejected", None),
}
NO_CODE = frozenset({None, 0})
"""What stands for a code where the answer had none; 0 is python-binance's."""


def test_what_a_fault_proves(long, exchange, recorded):
    """A fault is recorded as what it proves: in doubt, or surely not done."""
    found, expected = {}, {}
    for case, (fault, proved, code) in FAULTS.items():
        if long.by_websocket and fault.html:
            continue  # a WebSocket has no pages
        exchange.faults.inject(fault, method=method_of(long))
        reply = long.attempt("market_close")
        assert exchange.faults.hits.pop()[0] == fault.name
        exchange.faults.clear()
        assert reply.error is not None or not (long.refusals or fault.reset)
        got, kind, number = of_last(recorded, "outcome", "kind", "error_code")
        found[case] = got, kind, None if number in NO_CODE else number
        is_shown = number not in NO_CODE or long.code_of(reply) not in NO_CODE
        expected[case] = "unknown" if case in long.hides else proved, "close", code if is_shown else None
    assert found == expected


def test_a_time_limit_is_in_doubt(new_driver, way, exchange, recorded):
    """An answer that comes too late leaves the order in doubt."""
    driver = new_driver(exchange.url, timeout=2)
    if driver.by_websocket:
        pytest.skip("orders by WebSocket have no time limit of the library's")
    driver.cover(way, exit_shim)
    driver.call("open_position")
    exchange.faults.inject(faults.delayed(3, answer_only=True), times=1)
    assert driver.attempt("market_close").error is not None
    assert of_last(recorded, "outcome") == ("unknown",)


def test_where_nobody_listens_nothing_was_sent(new_driver, way, recorded):
    """A refused connection is "not_sent"."""
    driver = new_driver("http://127.0.0.1:1", timeout=1)
    driver.cover(way, exit_shim)
    assert driver.attempt("market_close").error is not None
    assert of_last(recorded, "outcome") == ("not_sent",)


def test_what_the_library_refuses_was_not_sent(covered, way, exchange, recorded):
    """An order that the library itself refuses is "not_sent", or never reached a door."""
    if not hasattr(covered, "misuse"):
        pytest.skip("the library has no check of its own")
    reply = covered.attempt("misuse")
    assert reply.error is not None
    assert exchange.order_requests == []
    assert {row["outcome"] for row in flat(recorded)} <= {"not_sent"}


@pytest.fixture
def resolving():
    """A shim that looks up orders in doubt."""
    shim = exit_shim.ExitShim(resolve=QUICK)
    yield shim
    exit_shim.uninstall()
    shim.close()


def test_doubts_are_looked_up(driver, way, exchange, resolving):
    """The resolver finds out which orders in doubt are there, and only reads."""
    driver.cover(way, resolving)
    driver.call("open_position")
    for number, executed in enumerate((True, False)):
        named = {} if driver.generates_client_ids else {"newClientOrderId": f"mine-{number}"}
        exchange.faults.inject(
            faults.unknown_error(executed=executed), path="order", method=method_of(driver)
        )
        driver.attempt("market_close", **named)
        exchange.faults.clear()
    changes = len(exchange.order_requests)
    until(lambda: not resolving.resolver.is_busy())
    assert resolving.journal.flush()
    rows = [record.flat() for record in read_records(resolving.journal.path)]
    assert len(exchange.order_requests) == changes == 3
    resolutions = ["accepted", "not_there"] if driver.can_be_asked else [None, None]
    assert [(row["outcome"], row["resolution"]) for row in rows] == [
        ("unknown", each) for each in resolutions
    ]


def method_of(driver):
    """Return the HTTP method whose requests a fault hits."""
    return None if driver.by_websocket else "POST"


def until(condition, patience=30):
    """Wait for a thread."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)
