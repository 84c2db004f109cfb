"""What a pass reports of one position. Pure."""

from exit_shim.executor.episode import Episode
from exit_shim.executor.order_ids import HARD
from exit_shim.executor.protection import Protection, State, best_guarded, is_covered
from exit_shim.executor.steps import Close, Place, Step, Wait
from exit_shim.guard.exchange_snapshot import OpenOrder, OpenPosition


def report(  # noqa: PLR0913 - each a part of the report
    account: str | None,
    position: OpenPosition,
    orders: tuple[OpenOrder, ...],
    episode: Episode | None = None,
    steps: tuple[Step, ...] = (),
    done: tuple[Step, ...] = (),
    *,
    state: State | None = None,
    problem: str | None = None,
) -> Protection:
    """Return how an open position is after a pass.

    Args:
        account: The account's label.
        position: The position.
        orders: The exits that were listed before the steps.
        episode: What is known of it; None where nothing is.
        steps: What was decided.
        done: What of that the exchange accepted.
        state: The state; None: as it follows from the rest.
        problem: What is wrong.
    """
    placed = () if episode is None else accepted_stops(episode, done)
    stops = [order for order in (*orders, *placed) if order.is_protective]
    covered = is_covered(stops, position.size)
    left = [step for step in steps if step not in done]
    plan = None if episode is None else episode.plan
    refusal = None if episode is None else episode.refusals.get(HARD)
    if problem is None and refusal is not None and not covered:
        problem = f"the hard stop was refused: {refusal.code} {refusal.message}"
    return Protection(
        account=account,
        symbol=position.symbol,
        position_side=position.position_side,
        state=state or state_of(steps, covered=covered),
        size=position.size,
        guarded=best_guarded(stops, position.size),
        bare_since=None if episode is None else episode.bare_since,
        steps=steps,
        next_step=f"{left[0].leg}: {left[0].why}" if left else None,
        plan_id=None if plan is None else plan.plan_id,
        revision=None if plan is None else plan.revision,
        problem=problem,
    )


def report_unknown(episode: Episode, problem: str | None) -> Protection:
    """Return the report of a position that could not be read."""
    return Protection(
        account=episode.account,
        symbol=episode.symbol,
        position_side=episode.position_side,
        state="UNKNOWN",
        size=episode.size,
        bare_since=episode.bare_since,
        problem=problem,
    )


def accepted_stops(episode: Episode, done: tuple[Step, ...]) -> tuple[OpenOrder, ...]:
    """Return the stops that were accepted in this pass, as they will be listed."""
    return tuple(
        OpenOrder(
            symbol=episode.symbol,
            side=episode.exit_side,
            position_side=episode.position_side,
            type=step.type,
            quantity=step.quantity,
            trigger=step.trigger,
            close_position=step.quantity is None,
            reduce_only=not episode.is_hedged,
            is_active=True,
            client_order_id=str(step.name),
        )
        for step in done
        if isinstance(step, Place) and step.type == "STOP_MARKET"
    )


def state_of(steps: tuple[Step, ...], *, covered: bool) -> State:
    """Return the state of an open position."""
    if any(isinstance(step, Close) for step in steps):
        return "CLOSING"
    if not covered:
        return "UNPROTECTED"
    return "MOVING" if any(not isinstance(step, Wait) for step in steps) else "PROTECTED"
