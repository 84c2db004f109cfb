"""The fixtures of the pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from exit_shim.testing.kit.refusal_report import REPORTED

if TYPE_CHECKING:
    from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange
    from exit_shim.testing.kit.exit_records import ExitRecords

# Heavy modules are imported inside the fixtures, so that a run that uses none imports nothing.


@pytest.fixture
def _exit_shim_exchange(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalExchange]:
    """Make the exchange and the shim of one test, and refuse every real host and key meanwhile."""
    from exit_shim.shim import forget_default_shim  # noqa: PLC0415 - see above
    from exit_shim.testing.kit.isolation import isolate  # noqa: PLC0415 - see above
    from exit_shim.testing.kit.marker import read_marker  # noqa: PLC0415 - see above
    from exit_shim.testing.kit.network_guard import NetworkGuard, watch_network  # noqa: PLC0415 - see above

    try:
        arguments = read_marker(request.node)
        exchange = arguments.make_exchange()
    except ValueError as wrong:
        pytest.fail(f"@pytest.mark.exit_shim: {wrong}", pytrace=False)
    isolate(monkeypatch, tmp_path_factory.mktemp("exit_shim") / "journal.db", arguments.mode)
    guard = NetworkGuard(request.node.nodeid, request.config.getini("exit_shim_allowed_hosts"))
    forget_default_shim()
    try:
        with watch_network(guard):
            yield exchange
    finally:
        forget_default_shim()
        # What the report of the failure shows already is not said twice.
        shown = request.node.stash.get(REPORTED, frozenset[str]())
        refused = [text for text in dict.fromkeys(guard.refused) if text not in shown]
        if refused:
            request.node.add_report_section("teardown", "exit_shim refused", "\n".join(refused))


@pytest.fixture
def local_exchange(_exit_shim_exchange: LocalExchange) -> Iterator[LocalExchange]:
    """Start a Binance USDⓈ-M futures exchange on 127.0.0.1 that every python-binance client of the test uses.

    `set_mark(symbol, price)` moves the market, `positions()` and `orders()` say what there is, `faults` makes
    things go wrong.
    """
    from exit_shim.testing.redirect import redirect_clients  # noqa: PLC0415 - see above

    with _exit_shim_exchange as running, redirect_clients(running.url, running.register):
        yield running


@pytest.fixture
def binance_client(local_exchange: LocalExchange) -> Iterator[Any]:  # noqa: ARG001 - it is where clients go
    """Make python-binance's sync `Client` on `local_exchange`."""
    from exit_shim.testing.kit.clients import LocalClient  # noqa: PLC0415 - see above

    client = LocalClient()
    yield client
    client.leave()


@pytest.fixture
def async_binance_client(local_exchange: LocalExchange) -> Iterator[Any]:  # noqa: ARG001 - as above
    """Make python-binance's `AsyncClient` on `local_exchange`, under any runner of asyncio tests, or none."""
    from exit_shim.testing.kit.clients import LocalAsyncClient  # noqa: PLC0415 - see above

    client = LocalAsyncClient()
    yield client
    client.leave()


@pytest.fixture
def fake_client(_exit_shim_exchange: LocalExchange) -> FakeClient:
    """Make a sync client in this process, without a socket, on the exchange of `local_exchange`."""
    from exit_shim.testing import FakeClient  # noqa: PLC0415 - see above

    return FakeClient(exchange=_exit_shim_exchange)


@pytest.fixture
def fake_async_client(_exit_shim_exchange: LocalExchange) -> FakeAsyncClient:
    """Make an async client in this process, without a socket, on the exchange of `local_exchange`."""
    from exit_shim.testing import FakeAsyncClient  # noqa: PLC0415 - see above

    return FakeAsyncClient(exchange=_exit_shim_exchange)


@pytest.fixture
def exit_records(_exit_shim_exchange: LocalExchange) -> Iterator[ExitRecords]:
    """Record the exit orders that the test's clients place, change or cancel, and who asked for each.

    Clients of python-binance need no `exit_shim.wrap` for that; what else the bot uses does.
    """
    from exit_shim.shim import default_shim  # noqa: PLC0415 - see above
    from exit_shim.testing.kit.cover_watch import CoverWatch  # noqa: PLC0415 - see above
    from exit_shim.testing.kit.exit_records import ExitRecords  # noqa: PLC0415 - see above
    from exit_shim.testing.kit.journal_of_test import JournalOfTest  # noqa: PLC0415 - see above

    shim = default_shim()
    journal = shim.journal
    assert journal is not None  # noqa: S101 - the default one has a journal
    kept = JournalOfTest(journal)
    with shim.install(), CoverWatch(_exit_shim_exchange) as cover:
        yield ExitRecords(kept.read_records, read_findings=kept.read_findings, cover=cover)
