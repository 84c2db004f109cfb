"""Read the plans of a hand-made exit brain, whose legs have a kind, a size and a trigger.

Objects and dicts are read alike, by the names of their fields. What a plan of ours cannot say is refused:
then the plan in force stays.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from decimal import Context, Decimal
from numbers import Real
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.executor.exact import PlanError, exact
from exit_shim.executor.legs import Breakeven, HardStop, Leg, PartialTake, Trail
from exit_shim.executor.offset import BREAK_EVEN, Offset
from exit_shim.executor.plan import Basis, ExitPlan, Side
from exit_shim.runtime.nearest_name import did_you_mean

TWELVE_DIGITS: Final = Context(prec=12)
"""Floats are read by their shortest text, to 12 digits: 1 - 0.7 is 0.30000000000000004, meant as 0.3."""

KINDS: Final = {
    "TP": PartialTake,
    "PARTIAL": PartialTake,
    "PARTIAL_TP": PartialTake,
    "SL": HardStop,
    "HARD_SL": HardStop,
    "EMERGENCY": HardStop,
    "TRAIL": Trail,
    "BREAKEVEN": Breakeven,
}
"""The kinds of legs that are read, and what becomes of them."""

CONDITIONS: Final = {"IMMEDIATE", "STAGED"}
"""The conditions of a leg that its level says too; any other is the brain's own, and cannot be kept."""

LARGEST_CALLBACK: Final = Decimal("0.1")
"""Above 10 %, a callback is taken for per cent without its unit: 0.8 is 0.8 %, not 80 %."""

FIRST_MS: Final = 10**11
"""A time from here on is in ms: in seconds it would be after the year 5000."""

PLAN_FIELDS: Final = ("symbol", "strategy_id", "source", "reason", "created_at", "expires_at")
LEG_FIELDS: Final = (
    *("kind", "size_pct", "trigger_price", "trigger_pct", "trail_callback"),
    *("r_multiple", "priority", "condition"),
)

NEARLY: Final = Decimal("1e-9")

LONGEST_STEP: Final = Decimal("0.0005")

NAME_LENGTH: Final = 55
HASH_LENGTH: Final = 8


class BrainReading(NamedTuple):
    """How plans of a brain are read.

    Attributes:
        hard_stop_default: The hard stop of a plan without SL leg; None: such a plan is refused.
        basis: What `size_pct` of takes is a share of.
        native_trail: Whether trails are the exchange's.
        may_widen: Whether a newer plan may move the hard stop away from the price.
    """

    hard_stop_default: Offset | None = None
    basis: Basis = "initial"
    native_trail: bool = False
    may_widen: bool = False


def read_brain_plan(
    brain_plan: object, side: Side, entry: Decimal | None = None, reading: BrainReading | None = None
) -> ExitPlan:
    """Return a brain's plan as one of ours.

    Args:
        brain_plan: An object or a dict with symbol, legs, strategy_id, source, reason, created_at and
            expires_at.
        side: The side of the position; a brain's plan does not say it.
        entry: The entry price; needed for a stop at a profit in per cent, and to compare stops in two units.
        reading: How it is read; None: as the defaults say.

    Raises:
        PlanError: It cannot be meant, or says what no plan of ours can.
    """
    reading = reading or BrainReading()
    legs = _LegReader(side, entry, reading)
    listed = field(brain_plan, "legs")
    if isinstance(listed, str | Mapping) or not isinstance(listed, Iterable):
        raise PlanError(f"the brain's plan has the legs {listed!r}; expected a list of legs")
    for place, leg in sorted(enumerate(listed, 1), key=lambda item: _priority(item[1])):
        legs.read(leg, place)
    ours = legs.finish()
    times = [_time_ms(field(brain_plan, name), name) for name in ("created_at", "expires_at")]
    name = _text(field(brain_plan, "strategy_id")) or "brain"
    return ExitPlan(
        symbol=field(brain_plan, "symbol"),
        position_side=side,
        legs=ours,
        # Brains give no id; equal exits are the same plan, in every process.
        plan_id=f"{name[:NAME_LENGTH]}@{_hash_of(ours, reading)}",
        revision=times[0] or 1,
        basis=reading.basis,
        may_widen=reading.may_widen,
        strategy_id=_text(field(brain_plan, "strategy_id")),
        source=_text(field(brain_plan, "source")),
        reason=_text(field(brain_plan, "reason")),
        created_at=times[0],
        expires_at=times[1],
    )


def fields_of(brain_plan: object) -> tuple[Any, ...]:
    """Return all that is read of a brain's plan: while it is equal, reading gives the same.

    A brain may change its plan in place, and reading costs a hundred times as much as this.
    """
    legs = field(brain_plan, "legs")
    listed = tuple(legs) if isinstance(legs, list | tuple) else ()
    return (
        tuple(field(brain_plan, name) for name in PLAN_FIELDS),
        tuple((tuple(field(leg, name) for name in LEG_FIELDS), _lock(leg)) for leg in listed),
    )


def field(value: object, name: str) -> Any:
    """Return a field of an object or a dict; None where there is none."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def number(value: Any) -> Decimal | None:
    """Return a number of a brain, which may be a float; None for None.

    Raises:
        PlanError: It is not a number.
    """
    if value is None or isinstance(value, bool | int | Decimal | str):
        return None if value is None else exact(value)
    if not isinstance(value, Real):
        raise PlanError(f"{value!r} is a {type(value).__name__}; expected a number")
    return exact(TWELVE_DIGITS.create_decimal(str(value)))


class _LegReader:
    """Turn the legs of a brain into ours, and gather what is wrong with them."""

    def __init__(self, side: Side, entry: Decimal | None, reading: BrainReading) -> None:
        self.direction = 1 if side == "LONG" else -1
        self.entry = entry
        self.reading = reading
        self.stops: list[Offset] = []
        self.legs: list[Leg] = []
        self.problems: list[str] = []

    def read(self, leg: object, place: int) -> None:
        """Take in a leg."""
        kind = kind_of(leg)
        where = f"leg {place} ({kind})"
        target = KINDS.get(kind)
        if target is None:
            self.problems.append(f"{where} has no kind that can be kept{did_you_mean(kind, KINDS)}")
            return
        condition = str(field(leg, "condition") or "IMMEDIATE").upper()
        if condition not in CONDITIONS:
            self.problems.append(f"{where} has the condition {condition!r}, which only the brain knows")
        readers: dict[type, Callable[[object], None]] = {
            HardStop: self._read_stop,
            PartialTake: self._read_take,
            Trail: self._read_trail,
            Breakeven: self._read_breakeven,
        }
        try:
            readers[target](leg)
        except PlanError as error:
            self.problems += [f"{where}: {problem}" for problem in error.problems]

    def finish(self) -> tuple[Leg, ...]:
        """Return our legs.

        Raises:
            PlanError: Something is wrong with them.
        """
        try:
            stop = self._nearest_stop()
        except PlanError as error:
            self.problems += error.problems
        if self.problems:
            raise PlanError(tuple(self.problems))
        return (HardStop(stop), *_whole(self.legs))

    def _nearest_stop(self) -> Offset:
        if not self.stops:
            # A stop that could not be read is a problem already, and no reason for another one.
            if self.reading.hard_stop_default is not None or self.problems:
                return self.reading.hard_stop_default or BREAK_EVEN
            raise PlanError("no leg is SL or EMERGENCY; set hard_stop_default for plans without one")
        # If both rested, the nearer would close the whole position first. With the wider one alone, the
        # position could lose more than the plan allows.
        if all(stop.fraction is not None for stop in self.stops):
            return min(self.stops, key=lambda stop: stop.fraction or 0)
        if self.entry is None and any(stop.fraction is not None for stop in self.stops):
            raise PlanError("two stops are in different units, and the entry price is not known")
        entry = self.entry or Decimal(0)
        return max(self.stops, key=lambda stop: self.direction * stop.level(entry, -self.direction, None))

    def _read_stop(self, leg: object) -> None:
        size = number(field(leg, "size_pct"))
        if size not in {None, Decimal(1)}:
            raise PlanError(f"it stops {size} of the position; a hard stop closes all of it")
        level = self._level(leg)
        if level is None and kind_of(leg) == "EMERGENCY":
            raise PlanError("it has no trigger, so it asks to close now; close the position with an order")
        if level is None:
            raise PlanError("it has no trigger; expected trigger_price or trigger_pct")
        if level.fraction is None:
            self.stops.append(level)
        elif level.fraction < 0:
            self.stops.append(Offset(fraction=-level.fraction))
        elif self.entry is None:
            raise PlanError(f"trigger_pct {level.fraction} is at a profit, which needs the entry price")
        else:
            self.stops.append(Offset(price=level.level(self.entry, self.direction, None)))

    def _read_take(self, leg: object) -> None:
        level = self._level(leg)
        if level is None:
            raise PlanError("it has no trigger, so it asks to close now; close the share with an order")
        self.legs.append(PartialTake(_size(leg), level))

    def _read_trail(self, leg: object) -> None:
        callback = number(field(leg, "trail_callback"))
        if callback is None:
            raise PlanError("it has no trail_callback; expected a fraction such as 0.008")
        if callback > LARGEST_CALLBACK:
            raise PlanError(f"trail_callback {callback} is {callback:%}; 0.008 is 0.8 %, and 10 % the most")
        size = None if field(leg, "size_pct") is None else _size(leg)
        activation = self._level(leg)
        step = min(LONGEST_STEP, callback / 2)
        self.legs.append(Trail(callback, size, activation, self.reading.native_trail, step))

    def _read_breakeven(self, leg: object) -> None:
        lock = number(_lock(leg))
        self.legs.append(
            Breakeven(self._level(leg) or "first_take", BREAK_EVEN if lock is None else Offset(fraction=lock))
        )

    def _level(self, leg: object) -> Offset | None:
        """Return where a leg acts; a fraction is positive in favour of the position."""
        price, fraction = (number(field(leg, name)) for name in ("trigger_price", "trigger_pct"))
        if price is not None and fraction is not None:
            raise PlanError("it has a trigger_price and a trigger_pct; expected one of them")
        if price is not None or fraction is not None:
            return Offset(price=price, fraction=fraction)
        # Beside a trigger, it only says which multiple that is.
        multiple = number(field(leg, "r_multiple"))
        return None if multiple is None else Offset(r=multiple)


def _whole(legs: list[Leg]) -> list[Leg]:
    """Return legs whose shares are exactly the whole position where they nearly are: six sixths are not."""
    sized = [leg for leg in legs if isinstance(leg, PartialTake | Trail) and leg.share is not None]
    rest = 1 - sum((leg.share or Decimal(0) for leg in sized), Decimal(0))
    if not sized or rest == 0 or abs(rest) > NEARLY:
        return legs
    last = sized[-1]
    whole = msgspec.structs.replace(last, share=(last.share or Decimal(0)) + rest)
    return [whole if leg is last else leg for leg in legs]


def kind_of(leg: object) -> str:
    """Return the kind of a brain's leg in capitals, from a text or a member of an enum."""
    kind = field(leg, "kind")
    return str(getattr(kind, "value", kind)).upper()


def _lock(leg: object) -> Any:
    return field(field(leg, "metadata") or {}, "lock_pct")


def _size(leg: object) -> Decimal:
    size = number(field(leg, "size_pct"))
    if size is None:
        raise PlanError("it has no size_pct; expected a share such as 0.5")
    if size > 1:
        raise PlanError(f"size_pct {size} is more than the position; 0.5 is half of it")
    return size


def _priority(leg: object) -> int:
    priority = field(leg, "priority")
    return priority if isinstance(priority, int) else 0


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _time_ms(value: Any, name: str) -> int | None:
    """Return a time in ms since the epoch.

    Args:
        value: A datetime, in UTC where it has no time zone; its ISO text; or seconds or ms since the epoch.
        name: What an error calls it.
    """
    if isinstance(value, str):
        try:
            # Python 3.10 does not know Z.
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise PlanError(f"{name} is {value!r}; expected a time such as 2026-01-31T12:00:00Z") from None
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
        return round(aware.timestamp() * 1000)
    try:
        epoch = number(value)
    except PlanError as error:
        raise PlanError(tuple(f"{name}: {problem}" for problem in error.problems)) from None
    return None if epoch is None else int(epoch if epoch >= FIRST_MS else epoch * 1000)


def _hash_of(legs: tuple[Leg, ...], reading: BrainReading) -> str:
    content = msgspec.json.encode([legs, reading.basis, reading.may_widen])
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]
