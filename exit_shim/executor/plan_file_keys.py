"""The keys of a file of exit plans: how each is read, and what the reference says of it."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, get_args

from exit_shim.executor.exact import PlanError, exact
from exit_shim.executor.legs import WorkingType
from exit_shim.executor.offset import Offset
from exit_shim.executor.plan import Basis, Side
from exit_shim.runtime.nearest_name import did_you_mean

REQUIRED: Final = "required"

_AMOUNT: Final = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(%|[rR])?")
_SYMBOL: Final = re.compile(r"[A-Z0-9_*?\[\]!-]+")


class UnusableValueError(ValueError):
    """Raised by what reads a key, for a value that cannot be meant."""


class Key(NamedTuple):
    """Describe a key of a table.

    Attributes:
        read: Returns what a value stands for; raises UnusableValueError for one that cannot be meant.
        expected: What the value must be, for errors.
        default: The default, as the docs show it.
        meaning: What it does, in Markdown.
        keys: The keys of the table, or of each table of the array, that is its value; None for a plain value.
    """

    read: Callable[[Any], Any]
    expected: str
    default: str
    meaning: str
    keys: "Mapping[str, Key] | None" = None


def read_table(table: object, keys: Mapping[str, Key], where: str, problems: list[str]) -> dict[str, Any]:
    """Return what the values of a table stand for; add what is wrong with it to `problems`."""
    if not isinstance(table, dict):
        problems.append(f"{where} is {table!r}; expected a table with {', '.join(keys)}")
        return {}
    problems += [
        f"{where}: {name} is not a key{did_you_mean(name, keys)}; expected {', '.join(keys)}"
        for name in table
        if name not in keys
    ]
    problems += [
        f"{where}: {name} is missing; expected {key.expected}"
        for name, key in keys.items()
        if key.default == REQUIRED and name not in table
    ]
    return {
        name: read_value(table[name], name, key, where, problems)
        for name, key in keys.items()
        if name in table
    }


def read_value(value: Any, name: str, key: Key, where: str, problems: list[str]) -> Any:
    """Return what the value of a key stands for; add what is wrong with it to `problems`."""
    try:
        content = key.read(value)
    except PlanError as error:
        problems += [f"{where}: {name} = {_shown(value)}: {problem}" for problem in error.problems]
        return None
    except UnusableValueError:
        problems.append(f"{where}: {name} = {_shown(value)}; expected {key.expected}")
        return None
    if key.keys is None:
        return content
    if isinstance(content, list):
        return [
            read_table(item, key.keys, f"{where}: {name}[{place}]", problems)
            for place, item in enumerate(content, 1)
        ]
    return read_table(content, key.keys, f"{where}: {name}", problems)


def _shown(value: object) -> str:
    return str(value) if isinstance(value, Decimal) else repr(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UnusableValueError
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UnusableValueError
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnusableValueError
    return value


def _tables(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UnusableValueError
    return value


def _symbols(value: Any) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else _tables(value)
    if not patterns or not all(isinstance(one, str) and _SYMBOL.fullmatch(one) for one in patterns):
        raise UnusableValueError
    return tuple(patterns)


def _word(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise UnusableValueError
        return str(value)

    return read


def _amount(value: Any) -> tuple[Decimal, str]:
    """Return a number and its unit: "%", "R" or ""."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise UnusableValueError
    if not isinstance(value, str):
        return exact(value), ""
    match = _AMOUNT.fullmatch(value.strip())
    if match is None:
        raise UnusableValueError
    return exact(match[1]), (match[2] or "").upper()


def _percent(value: Any) -> Decimal:
    number, unit = _amount(value)
    # Without its unit, 0.8 may be 0.8 % or 80 %.
    if unit != "%":
        raise UnusableValueError
    return number / 100


def _share(value: Any) -> Decimal:
    number, unit = _amount(value)
    share = number / 100 if unit == "%" else number
    if unit == "R" or not 0 < share <= 1:
        raise UnusableValueError
    return share


def _share_or_rest(value: Any) -> Decimal | None:
    return None if value == "rest" else _share(value)


def _offset(value: Any) -> Offset:
    number, unit = _amount(value)
    if unit == "%":
        return Offset(fraction=number / 100)
    return Offset(r=number) if unit == "R" else Offset(price=number)


def _stop(value: Any) -> Offset:
    offset = _offset(value)
    if offset.r is not None:
        raise UnusableValueError
    return offset


def _threshold(value: Any) -> Offset | str:
    return "first_take" if value in ("first take", "first_take") else _offset(value)


AN_OFFSET: Final = 'a distance from the entry such as "2 %" or "1.5 R", or a price such as "61000"'
TRUE_OR_FALSE: Final = "true or false"
A_SHARE: Final = 'a share of the position such as "50 %" or 0.5'
A_PERCENTAGE: Final = 'per cent such as "0.8 %"'

TAKE_KEYS: Final[Mapping[str, Key]] = {
    "share": Key(_share, A_SHARE, REQUIRED, "How much of the position it closes; `basis` says of what."),
    "at": Key(_offset, AN_OFFSET, REQUIRED, "Where it closes: in favour of the position."),
    "post_only": Key(
        _flag, TRUE_OR_FALSE, "`false`", "Whether the LIMIT order may only add to the order book (GTX)."
    ),
}

BREAKEVEN_KEYS: Final[Mapping[str, Key]] = {
    "after": Key(
        _threshold,
        f'"first take", {AN_OFFSET}',
        REQUIRED,
        'What moves the stop: `"first take"`, or a level that the mark price reaches.',
    ),
    "lock": Key(
        _offset, AN_OFFSET, "the entry price", "Where the stop moves to; a distance locks in a profit."
    ),
    "include_costs": Key(
        _flag,
        TRUE_OR_FALSE,
        "`false`",
        "Whether the fees of entry and exit, and the funding paid, are added to `lock`.",
    ),
}

TRAIL_KEYS: Final[Mapping[str, Key]] = {
    "callback": Key(_percent, A_PERCENTAGE, REQUIRED, "How far from the best price it closes, in per cent."),
    "activation": Key(_offset, AN_OFFSET, "from the start", "The level from which it follows the price."),
    "share": Key(
        _share_or_rest,
        f'"rest" or {A_SHARE}',
        '`"rest"`',
        "How much it closes; the rest is what the takes leave.",
    ),
    "native": Key(
        _flag,
        TRUE_OR_FALSE,
        "`false`",
        "Whether it is the exchange's TRAILING_STOP_MARKET, which goes on without us, or a stop that the "
        "executor moves.",
    ),
    "min_step": Key(
        _percent,
        A_PERCENTAGE,
        '`"0.05 %"`',
        "By how much of its price a stop that the executor moves moves at least.",
    ),
}

PLAN_KEYS: Final[Mapping[str, Key]] = {
    "name": Key(_text, "a text", "the file's name and the plan's number", "Names the plan in records."),
    "symbols": Key(
        _symbols,
        'a symbol or pattern in capitals such as "BTC*", or a list of them',
        "every symbol",
        'Symbols or patterns such as `"BTC*"`; one or a list.',
    ),
    "side": Key(
        _word(*get_args(Side)), '"LONG" or "SHORT"', "both", "The side of the position, in capitals."
    ),
    "leave_alone": Key(
        _flag,
        TRUE_OR_FALSE,
        "`false`",
        "Whether such positions get no plan: the executor reports them and places nothing.",
    ),
    "hard_stop": Key(
        _stop,
        'a distance such as "2 %" or a price such as "59000"; R is the distance to the hard stop',
        "required, unless `leave_alone`",
        "Where the whole position is closed: against the position, by a STOP_MARKET that always rests. "
        "Never in R.",
    ),
    "working_type": Key(
        _word(*get_args(WorkingType)),
        '"MARK_PRICE" or "CONTRACT_PRICE"',
        '`"MARK_PRICE"`',
        'The price that triggers the hard stop; `"CONTRACT_PRICE"` is the last price.',
    ),
    "price_protect": Key(
        _flag,
        TRUE_OR_FALSE,
        "`false`",
        "Whether the hard stop waits while mark price and last price are far apart.",
    ),
    "takes": Key(
        _tables,
        'a list such as [{ share = "50 %", at = "1.5 R" }]',
        "none",
        "Partial take profits: an array of tables, nearest first.",
        TAKE_KEYS,
    ),
    "breakeven": Key(
        _table,
        'a table such as { after = "first take" }',
        "none",
        "When and where to the stop of all that is left moves: a table.",
        BREAKEVEN_KEYS,
    ),
    "trail": Key(
        _table,
        'a table such as { callback = "0.8 %" }',
        "none",
        "A trailing stop: a table.",
        TRAIL_KEYS,
    ),
    "basis": Key(
        _word(*get_args(Basis)),
        '"initial" or "remaining"',
        '`"initial"`',
        'What the shares of takes are shares of: all that was entered, or (`"remaining"`) what the takes '
        "before it leave.",
    ),
    "may_widen": Key(
        _flag,
        TRUE_OR_FALSE,
        "`false`",
        "Whether this version of the plan may move the hard stop of an open position away from the price.",
    ),
    "reason": Key(_text, "a text", "none", "Why, for records."),
}
