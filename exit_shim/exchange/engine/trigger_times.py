"""How long a conditional order takes from its trigger to FINISHED, as captures of March 2026 show it."""

from __future__ import annotations

import random

import msgspec

#: Milliseconds from TRIGGERING to the order of the matching engine; 17 to 400 on production.
USUAL_DELAY = (17, 40)
#: Milliseconds between the fill, TRIGGERED and FINISHED, which never share one.
GAP = (1, 11)


class TriggerTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from TRIGGERING to the child order, from there to TRIGGERED, from there to FINISHED."""

    placed: int
    confirmed: int
    finished: int


def parse_delay(delay: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the shortest and longest time to the child order in milliseconds.

    Raises:
        ValueError: when they are no such times.
    """
    if delay is None:
        return None
    shortest, longest = delay if isinstance(delay, tuple) else (delay, delay)
    if not 0 <= shortest <= longest:
        raise ValueError(f"trigger_delay={delay!r} is invalid; expected milliseconds, or (shortest, longest)")
    return shortest, longest


def draw_times(seed: int, algo_id: int, delay: tuple[int, int] | None) -> TriggerTimes:
    """Return the times of one conditional order, always the same for its seed and id.

    Args:
        seed: the same seed gives the same past.
        algo_id: the order.
        delay: the shortest and longest time to the child order; None for the usual one.
    """
    draw = random.Random(f"{seed}/{algo_id}")  # noqa: S311 - latency, not a secret
    placed, confirmed, finished = (draw.randint(*span) for span in (delay or USUAL_DELAY, GAP, GAP))
    return TriggerTimes(placed=placed, confirmed=confirmed, finished=finished)
