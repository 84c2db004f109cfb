"""Offer functions on the process-wide shim, under the names that hand-made exit gateways had."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from exit_shim.clients.patching import Installation
from exit_shim.domain.doors import Door
from exit_shim.domain.modes import EXIT_BRAIN_V3, LEGACY
from exit_shim.shim import ExitShim, default_shim
from exit_shim.sinks.metrics import ExitOrderMetrics

C = TypeVar("C")


def wrap(
    client: C,
    *,
    shim: ExitShim | None = None,
    doors: Sequence[Door] = (),
    bridge: bool | None = None,
) -> C:
    """Return a transparent proxy around a client of a supported library, a fake or an adapter.

    Every exit order placed through it is attributed to the module that asked, judged, written to the journal
    before it leaves, sent unchanged, and recorded with its outcome. Wrapping twice is wrapping once. With
    EXIT_SHIM_DISABLED=1 this returns the client itself.

    Args:
        client: The client that the bot has; sync or async.
        shim: The configuration to use; None for the process-wide one.
        doors: Methods of the client's own class that place, change or cancel orders, besides
            python-binance's.
        bridge: Whether old calls about conditional orders keep their contract; None: as the shim says.
    """
    return (shim or default_shim()).wrap(client, doors=doors, bridge=bridge)


def install(
    *,
    shim: ExitShim | None = None,
    threads: bool = False,
    doors: Mapping[type, Sequence[Door]] | None = None,
    bridge: bool | None = None,
    raw: bool | None = None,
) -> Installation[ExitShim]:
    """Cover every client of a supported library in this process, whenever and wherever it is made.

    The classes themselves get the doors, at the latest when the library is imported. Installing twice is
    installing once; the latest of two shims is in force; a client that is wrapped as well is recorded once.
    `uninstall`, or the end of a `with` block around this call, restores the classes' own methods. With
    EXIT_SHIM_DISABLED=1 nothing happens.

    Args:
        shim: The configuration to use; None for the process-wide one.
        threads: Whether `Thread`, `Timer` and the standard library's pools of threads (`ThreadPoolExecutor`,
            with it `asyncio.to_thread` and `run_in_executor`, and `multiprocessing.pool.ThreadPool`) pass on
            the attribution of who started the work.
        doors: Methods of the bot's own classes that place, change or cancel orders, by class.
        bridge: Whether old calls about conditional orders keep their contract; None: as the shim says.
        raw: Whether requests to Binance's order paths are covered that the bot sends itself, by `requests`,
            `httpx` or `aiohttp`. None: no, unless EXIT_SHIM_RAW is 1.

    Returns:
        A context manager whose `with` gives the shim.
    """
    return (shim or default_shim()).install(threads=threads, doors=doors, bridge=bridge, raw=raw)


async def submit_exit_order(
    module_name: str,
    symbol: str,
    order_params: Mapping[str, Any],
    order_kind: str,
    client: Any,
    explanation: str | None = None,
) -> Any:
    """Place one exit order in the name of `module_name`, as `client.futures_create_order(**order_params)`.

    Args:
        module_name: Who asks; recorded as is, with evidence "context".
        symbol: The position's symbol. `order_params` is sent as it is; a difference is logged.
        order_params: The order under Binance's field names, sent as it is.
        order_kind: sl, tp, partial_tp, trailing, breakeven, close or other_exit.
        client: A python-binance client, sync (called on a worker thread) or async, wrapped or not.
        explanation: Why, for the person who reads the record.

    Returns:
        What the client returned. What the client raises is raised.

    Raises:
        TypeError: The client is of another library; `attributed` around its own call does the same.
    """
    return await default_shim().submit(module_name, symbol, order_params, order_kind, client, explanation)


def delegate(symbol: str, *, to: str, within: float = 30.0) -> None:
    """Give the exits of a symbol to an owner.

    DELEGATION_GAP is reported if no protective order of the owner is live `within` seconds from now, and
    LEGACY_FALLBACK if a legacy module acts on the symbol while the owner has none.

    Raises:
        ValueError: `to` names nobody, or `within` is not above zero.
    """
    default_shim().delegate(symbol, to=to, within=within)


def watch(client: Any, *, every: float = 30.0, stream: bool | str = False) -> None:
    """Compare the book of live exits with the exchange, on background threads.

    Every `every` seconds, positions and open orders are read. Exits that fired or were cancelled elsewhere
    leave the book; those that were placed elsewhere enter it, of no known module. Position sizes become known
    (OVERSIZED), and exits that outlive their position are reported (ORPHAN). With `stream`, all except ORPHAN
    is known as it happens, from the account's user data stream; the exchange is still polled, and once after
    each connection.

    Args:
        client: A client of the account, wrapped or not, that really sends where it is async. A look
            costs a request weight of 85.
        every: Seconds between two looks.
        stream: Whether to listen to the stream, on a connection of its own. It shares the account's
            listen key and never closes it; python-binance 1.0.36 or later. A str: where the stream is, such
            as "wss://fstream.binance.com/", for a client whose own address was changed. A stream that is not
            available is reported once and tried again. A bot that has a stream uses `feed_user_event`.

    Raises:
        ValueError: `every` is under a second, or the client is an async one that does not really send.
    """
    default_shim().watch(client, every=every, stream=stream)


def feed_user_event(event: Mapping[str, Any], client: Any) -> None:
    """Let the book of live exits learn from an event of the bot's own user data stream; never raises.

    Pass every message: those about neither orders nor positions are ignored. After python-binance's own error
    messages and `listenKeyExpired` the book counts as unsure until `watch` has polled the exchange.

    Args:
        event: As it came: a message of python-binance's `futures_user_socket`, or the JSON of the stream.
        client: A client of the account, or the account's label.
    """
    default_shim().feed_user_event(event, client)


def get_exit_order_metrics() -> ExitOrderMetrics:
    """Return the counts of the process-wide shim; `get_summary()` returns them as a dict."""
    return default_shim().metrics


def log_exit_metrics_summary() -> None:
    """Log the counts in one line under [EXIT_METRICS]."""
    default_shim().log_summary()


def get_exit_mode() -> str:
    """Return the mode in force: "LEGACY", "EXIT_BRAIN_V3" or a mode of the policy."""
    return default_shim().mode()


def is_exit_brain_mode() -> bool:
    """Return whether an owner, not the legacy modules, is meant to hold the exits."""
    return get_exit_mode() == EXIT_BRAIN_V3


def is_legacy_exit_mode() -> bool:
    """Return whether the legacy modules manage exits on their own."""
    return get_exit_mode() == LEGACY
