"""Why no order matches: there are none, none has this value, or none has all of them."""

import difflib
from collections.abc import Callable, Mapping
from typing import Final, cast

from exit_shim.cli.filters import Selection
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.journal.record_source import Field, RecordSource
from exit_shim.runtime.nearest_name import did_you_mean

MOST_VALUES: Final = 10
"""How many existing values are listed where a filter matches none of them."""


def read_reasons(source: RecordSource) -> list[str]:
    """Return the codes of the reasons that the guard gave."""
    return sorted({count.code for count in source.read_finding_counts()})


def read_run_ids(source: RecordSource) -> list[str]:
    """Return the ids of all runs, the newest first."""
    return [run.run_id for run in reversed(source.read_runs())]


def read_field(field: str) -> Callable[[RecordSource], list[str]]:
    """Return what reads the values of a field."""
    return lambda source: source.read_values(cast("Field", field))


READERS: Final[Mapping[str, tuple[str, Callable[[RecordSource], list[str]]]]] = {
    "symbol": ("--symbol", read_field("symbol")),
    "module": ("--module", read_field("module")),
    "host": ("--host", read_field("host")),
    "account": ("--account", read_field("account")),
    "run_id": ("--run", read_run_ids),
    "reason": ("--reason", read_reasons),
}
"""The filters whose values a record can list, by their fields of `RecordFilter`."""


def why_empty(selection: Selection, noun: str = "order") -> str:
    """Say why nothing was found, and name the existing value that is nearest to a mistyped one.

    Args:
        selection: What was looked for.
        noun: What was looked for, in a word.
    """
    source, wanted = selection.source, selection.wanted
    with readable_journal_errors():
        if not source.read_values("module"):
            return f"{source.name} has no exit orders yet"
        for field, (option, read) in READERS.items():
            value = getattr(wanted, field)
            if value is not None and value not in (values := read(source)):
                return (
                    f"{option} {value!r} matches no {noun} in {source.name}{did_you_mean(value, values)}; "
                    f"it has {nearest_values(value, values)}"
                )
    filters = [f"{option} {text}" for option, text in selection.given.items() if option != "--limit"]
    return f"no {noun} in {source.name} matches {' and '.join(filters)}; remove or widen a filter"


def nearest_values(value: str, values: list[str]) -> str:
    """List the existing values, those most like a mistyped one first."""
    nearest = difflib.get_close_matches(value, values, n=MOST_VALUES, cutoff=0.0)
    more = len(values) - len(nearest)
    return (", ".join(nearest) or "none") + (f" and {more} more" if more else "")
