"""What is checked before the first pass: the client's methods, the key's permissions, and the clock."""

import time
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from exit_shim.clients.answers import read_failure
from exit_shim.clients.registry import is_genuine, support_of
from exit_shim.errors import ExecutorError
from exit_shim.executor.requests import Request, Requests
from exit_shim.guard.exchange_snapshot import LISTS, integer

NEEDED: Final = frozenset({"place", "amend", "cancel", "cancel_algo", "find", "find_algo", "rules", "mark"})
"""The commands without which a position cannot be held to its plan."""

MAY_BE_OFF_MS: Final = 1_000
"""How far the clock may be off; the exchange refuses requests that are further ahead."""

REFUSED_KEY: Final = frozenset({-2014, -2015, -1022})
CLOCK_IS_OFF: Final = -1021

TEST_ORDER: Final = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
"""An order that the exchange checks and does not place."""


def check_methods(client: Any) -> None:
    """Check that a client has what the executor sends.

    Raises:
        ExecutorError: It lacks a method, or sends stops where Binance no longer takes them.
    """
    library = support_of(client)
    names = [library.reads[name] for name in LISTS] + [library.commands[name] for name in sorted(NEEDED)]
    missing = [name for name in names if not hasattr(client, name)]
    if missing:
        raise ExecutorError(
            f"the exit executor needs {_named(client)} with {', '.join(missing)}: install {library.name} "
            "1.0.33 or later"
        )


def _named(client: Any) -> str:
    library = support_of(client)
    if not is_genuine(client):
        return f"a {type(client).__name__}"
    try:
        return f"{library.name} ({version(library.name)} is installed)"
    except PackageNotFoundError:
        return library.name


def check_access(
    offset_ms: int, also: tuple[Request, ...] = ()
) -> Requests[tuple[tuple[str, ...], list[Any]]]:
    """Ask whether the key may read and trade, and what time it is.

    Args:
        offset_ms: What the client adds to its clock.
        also: What else to ask, at once.

    Returns:
        What is wrong, in sentences, and the answers to `also`.
    """
    sent = time.time_ns() // 1_000_000
    positions, tested, clock, *others = yield (
        Request("positions", {}),
        Request("test", TEST_ORDER),
        Request("time", {}),
        *also,
    )
    clock_problems = [*_clock_problems(clock, sent, offset_ms)] or _refusals(positions)
    return (*_key_problems(positions, tested), *clock_problems), others


def _key_problems(positions: Any, tested: Any) -> Iterator[str]:
    if _code(positions) in REFUSED_KEY:
        yield (
            f"the API key may not read positions ({_code(positions)}): check the key, its permissions, and "
            "the addresses that it may be used from"
        )
    elif _code(tested) in REFUSED_KEY:
        yield (
            f'the API key may not trade ({_code(tested)}), so no stop can be placed: switch on "Enable '
            'Futures" for it'
        )


def _clock_problems(clock: Any, sent: int, offset_ms: int) -> Iterator[str]:
    served = integer(clock.get("serverTime")) if isinstance(clock, Mapping) else None
    if served is None:
        return
    # The exchange read its clock between the request and the answer.
    now = time.time_ns() // 1_000_000
    off = sent + offset_ms - served if sent + offset_ms > served else min(0, now + offset_ms - served)
    if abs(off) > MAY_BE_OFF_MS:
        ahead = "ahead of" if off > 0 else "behind"
        yield f"the clock is {abs(off) / 1000:.1f} s {ahead} the exchange's: set it, or requests are refused"


def _refusals(positions: Any) -> Iterator[str]:
    if _code(positions) == CLOCK_IS_OFF:
        yield "the exchange refuses requests for their time (-1021): set the clock of this machine"


def _code(answer: Any) -> int | None:
    return read_failure(answer).error_code if isinstance(answer, Exception) else None
