"""Ask the router of a hand-made exit brain for plans."""

import asyncio
import inspect
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec

from exit_shim.executor.brain_plans import BrainReading, fields_of, read_brain_plan
from exit_shim.executor.exact import PlanError
from exit_shim.executor.offset import Offset
from exit_shim.executor.plan import Basis, ExitPlan, Side
from exit_shim.guard.exchange_snapshot import OpenPosition


class _Seen(NamedTuple):
    """What the brain said of a position last, and how large the position was."""

    brain_plan: Any
    entry: Decimal | None
    size: Decimal

    def is_of(self, position: OpenPosition) -> bool:
        """Return whether the position was not closed and opened anew since."""
        # Only what adds to a position moves its entry price.
        return position.entry == self.entry or position.size > self.size


class BrainRouter:
    """Give positions the plans of a hand-made exit brain; a router for `ExitExecutor`.

    The brain's router needs `get_or_create_plan(position)`, with a position as Binance lists it; it may be a
    coroutine function. `get_active_plan(symbol)` and `invalidate_plan(symbol)` are used where it has them.

    Such routers keep one plan per symbol. This one keeps one per symbol and side, so that the LONG and the
    SHORT of hedge mode each have their own, asks anew for a position that was closed and opened again, and
    when a plan has expired.
    """

    def __init__(
        self,
        brain: Any,
        *,
        hard_stop_default: Offset | None = None,
        basis: Basis = "initial",
        native_trail: bool = False,
        may_widen: bool = False,
        answer_within_s: float = 10.0,
    ) -> None:
        """Take the router of a brain.

        Args:
            brain: The brain's router.
            hard_stop_default: The hard stop of plans without SL leg; None: such plans are refused.
            basis: What `size_pct` of takes is a share of.
            native_trail: Whether trails are the exchange's TRAILING_STOP_MARKET.
            may_widen: Whether a newer plan may move the hard stop away from the price.
            answer_within_s: How long a coroutine of the brain may take.

        Raises:
            TypeError: The brain has no `get_or_create_plan`.
        """
        if not callable(getattr(brain, "get_or_create_plan", None)):
            raise TypeError(f"{brain!r} has no method get_or_create_plan(position); expected an exit router")
        self._brain = brain
        self._reading = BrainReading(hard_stop_default, basis, native_trail, may_widen)
        self._seen: dict[tuple[str, Side], _Seen] = {}
        self._answer_within_s = answer_within_s
        self._fields: dict[tuple[str, Side], tuple[Any, ...]] = {}
        self._plans: dict[tuple[str, Side], ExitPlan] = {}
        self._pending: dict[tuple[str, Side], asyncio.Task[Any]] = {}

    def plan_for(self, position: OpenPosition) -> ExitPlan | None:
        """Return the brain's plan of a position; None where it has none, or has not answered yet.

        Raises:
            PlanError: The brain failed, or its plan cannot be meant.
        """
        key = (position.symbol, position.side)
        brain_plan = self._ask(key, position)
        if brain_plan is None:
            return None
        fields = (position.entry, *fields_of(brain_plan))
        if key not in self._plans or fields != self._fields.get(key) or self._has_expired(key):
            plan = read_brain_plan(brain_plan, position.side, position.entry, self._reading)
            self._plans[key] = _replacing(self._plans.get(key), plan, time.time_ns() // 1_000_000)
            self._fields[key] = fields
        return self._plans[key]

    def _ask(self, key: tuple[str, Side], position: OpenPosition) -> Any:
        if key in self._pending and not self._is_abandoned(self._pending[key]):
            return self._answer(key, position)
        state = self._state(key, position)
        if state == "current":
            return self._keep(key, position, self._last(key))
        return self._create(key, position, is_stale=state == "stale")

    def _state(self, key: tuple[str, Side], position: OpenPosition) -> Literal["current", "missing", "stale"]:
        """Return what to think of the last answer; where it is stale, so is what the brain has kept."""
        seen = self._seen.get(key)
        if seen is not None and not seen.is_of(position):
            del self._seen[key]
            self._plans.pop(key, None)
            return "stale"
        other_key: tuple[str, Side] = (position.symbol, "SHORT" if position.side == "LONG" else "LONG")
        active, other = self._active_plan(position.symbol), self._seen.get(other_key)
        is_others = active is not None and other is not None and active is other.brain_plan
        if seen is None:
            return "stale" if is_others else "missing"
        if (is_others or active is seen.brain_plan) and not self._has_expired(key):
            return "current"
        if active is None or active is seen.brain_plan or other is None:
            return "stale" if self._has_expired(key) else "missing"
        # The brain has made a plan itself, and does not say for which side: both are asked for anew.
        del self._seen[other_key]
        return "stale"

    def _active_plan(self, symbol: str) -> Any:
        method = getattr(self._brain, "get_active_plan", None)
        active = None if method is None else _call(method, symbol)
        if inspect.iscoroutine(active):
            active.close()
            return None
        return active

    def _has_expired(self, key: tuple[str, Side]) -> bool:
        plan = self._plans.get(key)
        return plan is not None and plan.is_expired()

    def _create(self, key: tuple[str, Side], position: OpenPosition, *, is_stale: bool) -> Any:
        """Return the brain's answer; what it said last where it takes its time."""
        invalidate = getattr(self._brain, "invalidate_plan", None)
        answers = [_call(invalidate, position.symbol)] if is_stale and invalidate is not None else []
        answers.append(_call(self._brain.get_or_create_plan, binance_row(position)))
        if not any(inspect.isawaitable(answer) for answer in answers):
            return self._keep(key, position, answers[-1])
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._keep(key, position, _call(asyncio.run, self._last_of(answers)))
        self._pending[key] = loop.create_task(self._last_of(answers))
        return self._last(key)

    @staticmethod
    def _is_abandoned(pending: "asyncio.Task[Any]") -> bool:
        # Its loop has ended, or somebody has cancelled all tasks: it will never have an answer.
        return pending.cancelled() or pending.get_loop().is_closed()

    def _answer(self, key: tuple[str, Side], position: OpenPosition) -> Any:
        if not self._pending[key].done():
            return self._last(key)
        return self._keep(key, position, _call(self._pending.pop(key).result))

    async def _last_of(self, answers: list[Any]) -> Any:
        answer = None
        for value in answers:
            awaited = inspect.isawaitable(value)
            answer = await asyncio.wait_for(value, self._answer_within_s) if awaited else value
        return answer

    def _keep(self, key: tuple[str, Side], position: OpenPosition, brain_plan: Any) -> Any:
        if brain_plan is not None:
            self._seen[key] = _Seen(brain_plan, position.entry, position.size)
        return brain_plan

    def _last(self, key: tuple[str, Side]) -> Any:
        seen = self._seen.get(key)
        return None if seen is None else seen.brain_plan


def binance_row(position: OpenPosition) -> dict[str, str]:
    """Return a position as Binance lists it, which is what brains read."""
    row = {
        "symbol": position.symbol,
        "positionSide": position.position_side,
        "positionAmt": position.amount,
        "entryPrice": position.entry,
        "markPrice": position.mark,
        "liquidationPrice": position.liquidation,
    }
    return {
        name: value if isinstance(value, str) else f"{value:f}"
        for name, value in row.items()
        if value is not None
    }


def _call(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        # Whatever a brain raises, the plan in force must stay.
        name = getattr(function, "__name__", repr(function))
        raise PlanError(f"the brain failed in {name}: {error!r}") from error


def _replacing(current: ExitPlan | None, plan: ExitPlan, now_ms: int) -> ExitPlan:
    """Return the plan that is in force next: the current one while the new one says the same."""
    if current is None or plan.plan_id != current.plan_id:
        return plan
    ends, now_ends = plan.expires_at, current.expires_at
    ends_earlier = ends is not None and (now_ends is None or ends < now_ends)
    # Brains that plan at each pass move the expiry each time; it is taken over when it is needed.
    if not ends_earlier and not current.is_expired(now_ms):
        return current
    if plan.expires_at == current.expires_at:
        return current
    return msgspec.structs.replace(plan, revision=max(plan.revision, current.revision + 1))
