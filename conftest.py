"""Fixtures that every test shares: a clean process-wide shim, a local exchange, and genuine clients on it."""

import asyncio
import inspect
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
from binance import AsyncClient, Client

import exit_shim.runtime.background
import exit_shim.runtime.internal_errors
import exit_shim.shim
from exit_shim.domain.events import Record
from exit_shim.journal import read_records
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.testing import LocalExchange
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

pytest_plugins = ["pytester"]


# The same examples each time, so that what is red once is red again; `--hypothesis-profile=default` explores.
hypothesis.settings.register_profile("thorough", derandomize=True, deadline=None)
hypothesis.settings.register_profile("short", derandomize=True, deadline=None, max_examples=25)
hypothesis.settings.load_profile("short")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say how often the tests repeat what they do at random."""
    parser.addoption(
        "--thorough", action="store_true", help="repeat what is done at random 3 to 4 times as often"
    )
    parser.addoption("--rounds", type=int, help="bots of each kind that are killed (4, thorough: 15)")
    parser.addoption("--histories", type=int, help="histories of each kind that are lived (6, thorough: 20)")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how thorough to be, and let children of a suite in the background heed Ctrl-C."""
    # pytest-xdist sets it for its workers, and commands would take it for the width of a terminal.
    os.environ.pop("COLUMNS", None)
    # Python's readline sets it behind the back of os.environ, for children alone.
    os.unsetenv("COLUMNS")
    is_thorough, option = config.getoption("thorough"), config.option
    option.rounds = option.rounds or (15 if is_thorough else 4)
    option.histories = option.histories or (20 if is_thorough else 6)
    if is_thorough and not option.hypothesis_profile:
        hypothesis.settings.load_profile("thorough")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_globals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees another's shim, journal, mode or logging; an internal error of the shim fails the test."""
    hidden: list[tuple[str, Exception]] = []
    note = InternalErrors.report

    def note_and_keep(internal_errors: InternalErrors, step: str, error: Exception) -> None:
        if exit_shim.runtime.internal_errors.RERAISE and threading.current_thread().name.startswith(
            "exit-shim"
        ):
            hidden.append((step, error))  # what is raised on that thread fails no test
        note(internal_errors, step, error)

    monkeypatch.setattr(InternalErrors, "report", note_and_keep)
    for name in ("EXIT_MODE", "EXIT_BRAIN_V3_ENABLED", "EXIT_SHIM_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EXIT_SHIM_RESOLVE", "0")  # a test counts the requests that arrive
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(tmp_path / "journal.db"))
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", True)
    monkeypatch.setattr(
        exit_shim.runtime.background, "INLINE", False
    )  # the plugin's mode hides the threads that ship
    monkeypatch.setattr(exit_shim.ExitShim.flush, "__defaults__", (60.0,))  # a loaded machine takes its time
    yield
    exit_shim.uninstall()
    exit_shim.shim.forget_default_shim()
    structlog.reset_defaults()
    assert hidden == []


@pytest.fixture(autouse=True)
def no_loop_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close the event loop that python-binance's sync clients make, unless the test itself is asynchronous.

    Else the next asynchronous test of the worker drops it, and whichever comes then is blamed for it.
    """
    yield
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        return
    policy = getattr(asyncio.events, "_get_event_loop_policy", asyncio.get_event_loop_policy)()
    loop = getattr(getattr(policy, "_local", None), "_loop", None)
    if loop is not None and not loop.is_running() and not loop.is_closed():
        loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> Any:
    """Capture log lines as pytest does, after the shims' threads have written theirs."""
    from log_capture import FlushedCapture  # noqa: PLC0415 - beside the tests, which are found later

    return FlushedCapture(caplog)


@pytest.fixture
def capsys(capsys: pytest.CaptureFixture[str]) -> Any:
    """Capture the output as pytest does, after the shims' threads have written theirs."""
    from log_capture import FlushedCapture  # noqa: PLC0415

    return FlushedCapture(capsys)


@pytest.fixture
def capfd(capfd: pytest.CaptureFixture[str]) -> Any:
    """Capture the output of this process as pytest does, after the shims' threads have written theirs."""
    from log_capture import FlushedCapture  # noqa: PLC0415

    return FlushedCapture(capfd)


@pytest.fixture
def recorded() -> Callable[[], list[Record]]:
    """Read what the process-wide shim has recorded so far, oldest first."""

    def read() -> list[Record]:
        journal = exit_shim.shim.default_shim().journal
        assert journal is not None
        assert journal.flush()
        return list(read_records(journal.path))

    return read


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    """A local exchange; python-binance is pointed at it, so no client of a test can reach anything else.

    Its rules are those of now, or of the last day on which an older python-binance could place stops.
    """
    from abilities import RULES  # noqa: PLC0415 - beside the tests, which are found later than this file

    with LocalExchange(rules=RULES) as local, redirect_clients(local.url, local.register):
        yield local
        assert local.internal_errors == []


@pytest.fixture
def client(exchange: LocalExchange) -> Iterator[Any]:
    """A genuine sync client on the local exchange, not wrapped."""
    own = Client(LOCAL_KEY, LOCAL_SECRET)
    yield own
    close_client(own)


@pytest.fixture
async def async_client(exchange: LocalExchange) -> AsyncIterator[Any]:
    """A genuine async client on the local exchange, not wrapped."""
    own = await AsyncClient.create(LOCAL_KEY, LOCAL_SECRET)
    yield own
    await own.close_connection()
