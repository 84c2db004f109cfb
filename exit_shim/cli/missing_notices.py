"""Lines on stderr about what the exchange lacks, as soon as a bot asks for it: the bot may wait forever."""

import threading
from collections.abc import Callable
from typing import Final

from exit_shim.cli.output import say
from exit_shim.exchange.engine.state import MADE_UP
from exit_shim.exchange.unanswered import Unanswered
from exit_shim.testing import LocalExchange
from exit_shim.testing.confinement.dummy_hosts import NOTE as DUMMY

PAUSE_S: Final = 0.5
"""Seconds between two looks for news."""

MOST: Final = 10
"""The most lines of a run; its report has the rest."""


def say_missing(exchange: LocalExchange) -> Callable[[], None]:
    """Say what is not answered when it is first asked for; runs in a background thread.

    Returns:
        A function that ends the thread.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_say_all, args=(exchange, ended), name="exit-shim-missing", daemon=True)
    thread.start()
    return ended.set


def _say_all(exchange: LocalExchange, ended: threading.Event) -> None:
    reported: set[tuple[str, str]] = set()
    while len(reported) < MOST and not ended.wait(PAUSE_S):
        news = [
            each
            for each in exchange.unanswered
            if is_missing(each) and (each.kind, each.name) not in reported
        ]
        for each in news[: MOST - len(reported)]:
            reported.add((each.kind, each.name))
            say(f"exit-shim: not answered: {missing_text(each)}", err=True)


def is_missing(asked: Unanswered) -> bool:
    """Return whether a request got no answer, not even a dummy's or one about a made-up symbol."""
    return asked.reason not in {DUMMY, MADE_UP}


def missing_text(missing: Unanswered) -> str:
    """Return what is not answered and the reason."""
    # An endpoint's name begins with its method.
    name = missing.name if missing.kind == "endpoint" else f"{missing.kind} {missing.name}"
    return f"{name}: {missing.reason}" if missing.reason else name
