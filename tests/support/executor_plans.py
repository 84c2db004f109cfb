"""Exit plans at random."""

import random
from decimal import Decimal

import msgspec

from exit_shim.executor.plan import (
    Breakeven,
    ExitPlan,
    HardStop,
    Leg,
    Offset,
    PartialTake,
    PlanError,
    Trail,
    at_fraction,
    at_r,
)

SHARES = (
    ("0.5",),
    ("1",),
    ("0.3", "0.3"),
    ("0.5", "0.5"),
    ("0.25", "0.25", "0.5"),
    ("0.02", "0.4"),
    ("0.3", "0.02", "0.1"),
)


def draw_plan(draw: random.Random, held: str, revision: int) -> ExitPlan:
    """Return a plan that can be meant."""
    while True:
        try:
            return ExitPlan(
                symbol="BTCUSDT",
                position_side="LONG" if held == "LONG" else "SHORT",
                legs=draw_legs(draw),
                revision=revision,
                basis=draw.choice(("initial", "initial", "remaining")),
            )
        except PlanError:  # noqa: PERF203 - most can be meant
            continue


def draw_legs(draw: random.Random) -> tuple[Leg, ...]:
    """Return legs, which may not be of one plan."""
    legs: list[Leg] = [HardStop(draw_stop(draw))]
    takes = draw_takes(draw) if draw.random() < 0.75 else []
    legs += takes
    if draw.random() < 0.5:
        after = "first_take" if takes and draw.random() < 0.5 else at_r(draw.choice(("0.5", "1", "2")))
        lock = at_fraction(draw.choice(("0", "0", "0.001", "-0.002")))
        legs.append(Breakeven(after, lock, draw.random() < 0.2))  # type: ignore[arg-type]
    if draw.random() < 0.5:
        legs.append(draw_trail(draw))
    return tuple(legs)


def draw_stop(draw: random.Random) -> Offset:
    """Return where a hard stop is."""
    return at_fraction(draw.choice(("0.005", "0.01", "0.02", "0.05")))


def draw_takes(draw: random.Random) -> list[Leg]:
    """Return takes from near to far."""
    levels = sorted(draw.uniform(0.3, 4) for _ in range(3))
    return [
        PartialTake(Decimal(share), at_r(str(round(level, 3))))
        for share, level in zip(draw.choice(SHARES), levels, strict=False)
    ]


def draw_trail(draw: random.Random) -> Trail:
    """Return a trail, the exchange's or a managed one."""
    return Trail(
        callback=Decimal(draw.choice(("0.003", "0.008", "0.02"))),
        share=draw.choice((None, None, Decimal("0.2"), Decimal(1))),
        activation=at_r("1") if draw.random() < 0.4 else None,
        native=draw.random() < 0.4,
    )


def revise(draw: random.Random, plan: ExitPlan, how: str, revision: int) -> ExitPlan:
    """Return a newer revision of a plan.

    Raises:
        PlanError: it cannot be meant.
    """
    if how == "other_plan":
        new = draw_plan(draw, plan.position_side, revision)
        return msgspec.structs.replace(new, plan_id=f"plan{revision}")
    stop, rest = plan.hard_stop, [leg for leg in plan.legs if not isinstance(leg, HardStop)]
    if how == "tighten" and stop.at.fraction is not None:
        stop = msgspec.structs.replace(stop, at=at_fraction(stop.at.fraction / 2))
    if how == "widen":
        stop = msgspec.structs.replace(stop, at=draw_stop(draw))
    if how == "move_takes":
        rest = [leg for leg in rest if not isinstance(leg, PartialTake)] + draw_takes(draw)
    if how == "other_legs":
        rest = [leg for leg in draw_legs(draw) if not isinstance(leg, HardStop)]
    return msgspec.structs.replace(plan, revision=revision, legs=(stop, *rest), may_widen=how == "widen")
