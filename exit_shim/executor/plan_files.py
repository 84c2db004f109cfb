"""Exit plans from a TOML file, for somebody without code: rules in order, and the first that fits counts."""

import hashlib
import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import msgspec

from exit_shim.executor.exact import PlanError
from exit_shim.executor.legs import Breakeven, HardStop, Leg, PartialTake, Trail
from exit_shim.executor.offset import Offset
from exit_shim.executor.plan import LONGEST_NAME, ExitPlan, Side
from exit_shim.executor.plan_file_keys import PLAN_KEYS, read_table
from exit_shim.guard.exchange_snapshot import OpenPosition
from exit_shim.runtime.nearest_name import did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SELECTING: Final = {"name", "symbols", "side", "leave_alone", "reason"}
"""The keys that say which positions a rule is for; all others say what becomes of them."""

WILDCARDS: Final = frozenset("*?[")

HASH_LENGTH: Final = 8

FARTHEST_STOP: Final = 2
"""A hard stop given as a price, farther from the entry than this factor, is taken for a mistake."""

FARTHEST_LEVEL: Final = 10
"""The same for every other level."""


class PlanFileError(ValueError):
    """Raised for a file of plans with errors; each problem names the plan, the key and what was expected."""

    def __init__(self, path: str | os.PathLike[str], problems: list[str]) -> None:
        self.path = os.fspath(path)
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{self.path}: {problem}" for problem in problems))

    def __reduce__(self) -> tuple[type["PlanFileError"], tuple[str, list[str]]]:
        return type(self), (self.path, list(self.problems))


def _matches(symbol: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(symbol, pattern) for pattern in patterns)


class PlanRule(NamedTuple):
    """Say which positions get which exits.

    Attributes:
        name: Its name, or the file's with its number.
        symbols: Patterns of symbols; empty: every symbol.
        side: The side of the position; None: both.
        legs: The legs of the plan; None: such positions are left alone.
        settings: The other fields of the plan.
    """

    name: str
    symbols: tuple[str, ...]
    side: Side | None
    legs: tuple[Leg, ...] | None
    settings: dict[str, Any]

    def is_for(self, symbol: str, side: str) -> bool:
        """Return whether it is for a position."""
        if self.side is not None and self.side != side:
            return False
        return _matches(symbol, self.symbols)

    def plan(self, symbol: str, side: Side) -> ExitPlan | None:
        """Return the plan of a position; None for one to leave alone.

        Raises:
            PlanError: The plan cannot be meant.
        """
        if self.legs is None:
            return None
        return ExitPlan(
            symbol=symbol,
            position_side=side,
            legs=self.legs,
            plan_id=f"{self.name[: LONGEST_NAME - HASH_LENGTH - 1]}@{self._hash()}",
            **self.settings,
        )

    def _hash(self) -> str:
        # Another content is another plan, in every process and after a restart: a revision would have to be
        # remembered somewhere, and the file's date goes back with a deploy.
        content = [self.legs, {name: value for name, value in self.settings.items() if name != "reason"}]
        return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:HASH_LENGTH]


class _Rules:
    """The rules of one reading of the file, with the plans that they have made."""

    def __init__(self, rules: tuple[PlanRule, ...]) -> None:
        self.rules = rules
        self._plans: dict[tuple[str, Side], ExitPlan | None] = {}

    def rule_for(self, symbol: str, side: str) -> PlanRule | None:
        return next((rule for rule in self.rules if rule.is_for(symbol, side)), None)

    def plan(self, symbol: str, side: Side) -> ExitPlan | None:
        # Asked at each pass of the executor.
        if (symbol, side) not in self._plans:
            rule = self.rule_for(symbol, side)
            self._plans[symbol, side] = None if rule is None else rule.plan(symbol, side)
        return self._plans[symbol, side]


class PlanFile:
    """Give positions their plans from a TOML file; a router for `ExitExecutor`.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the file.

        Raises:
            PlanFileError: It cannot be read, is not valid TOML, or has an error.
        """
        self.path = Path(path)
        self._current = self._read()
        self._problems: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[PlanRule, ...]:
        """The rules in force, in the order of the file."""
        return self._current.rules

    def rule_for(self, position: OpenPosition) -> PlanRule | None:
        """Return the first rule that is for a position; None where none is."""
        return self._current.rule_for(position.symbol, position.side)

    def plan_for(self, position: OpenPosition) -> ExitPlan | None:
        """Return the plan of a position; None where no rule is for it, or one leaves it alone.

        Raises:
            PlanError: A price of the plan is too far from the entry price to be meant.
        """
        plan = self._current.plan(position.symbol, position.side)
        if plan is not None and position.entry is not None:
            check_prices(plan, position.entry)
        return plan

    def reload(self) -> bool:
        """Read the file again, and return whether its plans are others now.

        Raises:
            PlanFileError: It cannot be read, or has an error. The plans that were read before stay in force.
                The same error is raised once, not at each call.
        """
        try:
            current = self._read()
        except PlanFileError as error:
            if error.problems == self._problems:
                return False
            self._problems = error.problems
            problems = [*error.problems, "the plans that were read before stay in force"]
            raise PlanFileError(self.path, problems) from None
        is_changed = current.rules != self._current.rules
        if is_changed:
            self._current = current
        self._problems = ()
        return is_changed

    def _read(self) -> "_Rules":
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanFileError(self.path, [f"the file cannot be read ({error})"]) from error
        return _Rules(parse_plans(text, self.path))


def load_plans(path: str | os.PathLike[str]) -> PlanFile:
    """Return the router that a TOML file describes.

    Raises:
        PlanFileError: It cannot be read, is not valid TOML, or has an error.
    """
    return PlanFile(path)


def parse_plans(text: str, path: str | os.PathLike[str] = "plans.toml") -> tuple[PlanRule, ...]:
    """Return the rules in a text, which errors call `path`.

    Raises:
        PlanFileError: The text is not valid TOML, or has an error; every problem is named.
    """
    try:
        # A float of TOML is exact as long as no Python float is made of it.
        document = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise PlanFileError(path, [f"not valid TOML: {error}"]) from error
    problems = [
        f"{key} is not a key{did_you_mean(key, ['plans'])}; expected [[plans]]"
        for key in document
        if key != "plans"
    ]
    tables = document.get("plans", [])
    if not isinstance(tables, list) or (not tables and not problems):
        problems.append("no plan in the file; expected tables that begin with [[plans]]")
        tables = []
    rules = [_read_rule(table, place, Path(path).name, problems) for place, table in enumerate(tables, 1)]
    if not problems:
        problems += _never_used([rule for rule in rules if rule is not None])
    if problems:
        raise PlanFileError(path, problems)
    return tuple(rule for rule in rules if rule is not None)


def _read_rule(table: object, place: int, file: str, problems: list[str]) -> PlanRule | None:
    where = f"plan {place}"
    if isinstance(table, dict) and table.get("name"):
        where += f" ({table['name']})"
    before = len(problems)
    values = read_table(table, PLAN_KEYS, where, problems)
    if len(problems) > before:
        return None
    is_left = values.get("leave_alone", False)
    others = [key for key in values if key not in SELECTING]
    if is_left and others:
        problems.append(f"{where}: leave_alone excludes {', '.join(others)}; remove one or the other")
    if not is_left and "hard_stop" not in values:
        problems.append(f"{where}: hard_stop is missing; expected {PLAN_KEYS['hard_stop'].expected}")
    if len(problems) > before:
        return None
    try:
        rule = _make_rule(values, values.get("name", f"{file}#{place}"), file)
        _check_rule(rule)
    except PlanError as error:
        problems += [f"{where}: {problem}" for problem in error.problems]
        return None
    return rule


def _make_rule(values: dict[str, Any], name: str, file: str) -> PlanRule:
    legs: list[Leg] = []
    if not values.get("leave_alone", False):
        fields = {key: values[key] for key in ("working_type", "price_protect") if key in values}
        legs = [HardStop(values["hard_stop"], **fields)]
        legs += [PartialTake(**take) for take in values.get("takes", ())]
        legs += [Breakeven(**values["breakeven"])] if "breakeven" in values else []
        legs += [Trail(**values["trail"])] if "trail" in values else []
    settings: dict[str, Any] = {key: values[key] for key in ("basis", "may_widen", "reason") if key in values}
    return PlanRule(
        name, values.get("symbols", ()), values.get("side"), tuple(legs) or None, {"source": file, **settings}
    )


def _check_rule(rule: PlanRule) -> None:
    """Refuse a rule whose plan cannot be meant for any position.

    Raises:
        PlanError: It cannot be meant.
    """
    is_one = len(rule.symbols) == 1 and not WILDCARDS.intersection(rule.symbols[0]) and rule.side is not None
    for name, offset in _offsets(rule.legs or ()):
        # "2" for "2 %" would be a stop that never fires.
        if offset.price is not None and not is_one:
            raise PlanError(
                f"the {name} {offset} is a price, which needs one symbol and a side; "
                f'for a distance write "{offset} %" or "{offset} R"'
            )
    rule.plan(rule.symbols[0] if is_one else "ANY", rule.side or get_args(Side)[0])


def _never_used(rules: list[PlanRule]) -> Iterator[str]:
    for place, rule in enumerate(rules, 1):
        first = next((one for one, other in enumerate(rules[: place - 1], 1) if _hides(other, rule)), None)
        if first is not None:
            yield f"plan {place} is never used: plan {first} is for all its positions; change their order"


def _hides(rule: PlanRule, later: PlanRule) -> bool:
    if rule.side not in {None, later.side}:
        return False
    return not rule.symbols or (
        bool(later.symbols)
        and all(
            symbol in rule.symbols or (not WILDCARDS.intersection(symbol) and _matches(symbol, rule.symbols))
            for symbol in later.symbols
        )
    )


def check_prices(plan: ExitPlan, entry: Decimal) -> None:
    """Refuse a plan with a price that is too far from the entry price to be meant.

    Raises:
        PlanError: It has one.
    """
    for name, offset in _offsets(plan.legs):
        most = FARTHEST_STOP if name == "hard stop" else FARTHEST_LEVEL
        if offset.price is not None and not entry / most <= offset.price <= entry * most:
            raise PlanError(
                f"the {name} {offset} is a price, and the entry is {entry:f}; "
                f'for a distance write "{offset} %"' + ("" if name == "hard stop" else f' or "{offset} R"')
            )


def _offsets(legs: tuple[Leg, ...]) -> Iterator[tuple[str, Offset]]:
    for leg in legs:
        if isinstance(leg, HardStop):
            yield "hard stop", leg.at
        elif isinstance(leg, PartialTake):
            yield "take", leg.at
        elif isinstance(leg, Breakeven):
            if isinstance(leg.after, Offset):
                yield "breakeven threshold", leg.after
            yield "breakeven level", leg.lock
        elif leg.activation is not None:
            yield "activation", leg.activation
