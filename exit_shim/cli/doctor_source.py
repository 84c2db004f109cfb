"""What is to be said of the bot's source: orders out of reach, and calls of before 2025-12-09."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from exit_shim.cli.bot_source import leaves_of
from exit_shim.cli.output import pluralize
from exit_shim.clients.packages import RAW_VARIABLE, is_raw_wanted
from exit_shim.scan.order_methods import PYTHON_BINANCE
from exit_shim.scan.sites import OutdatedCall, OutdatedCode, Scan, Site

MOST_PLACES: Final = 3
"""How many places are named; `exit-shim scan` lists all."""

RAW_WAYS: Final = f"install(raw=True), exit-shim run --raw or {RAW_VARIABLE}=1"
"""What covers raw requests."""


class Advice(NamedTuple):
    """Say what is wrong with a call, for one and for many, and what to do."""

    one: str
    many: str
    todo: str


OUTDATED: Final[dict[OutdatedCode, Advice]] = {
    "STOPS_TO_OLD_PATH": Advice(
        "place sends conditional orders where Binance has refused them since 2025-12-09",
        "places send conditional orders where Binance has refused them since 2025-12-09",
        "send them to the Algo Service (/fapi/v1/algoOrder)",
    ),
    "ALGO_ID_IGNORED": Advice(
        "line reads orderId of a conditional order, whose answer has had algoId instead since 2025-12-09",
        "lines read orderId of conditional orders, whose answers have had algoId instead since 2025-12-09",
        "read algoId",
    ),
    "ALGO_STORE_IGNORED": Advice(
        "call lists or cancels open orders, which has left out conditional ones since 2025-12-09, and "
        "nothing in the bot asks the Algo Service for them",
        "calls list or cancel open orders, which has left out conditional ones since 2025-12-09, and "
        "nothing in the bot asks the Algo Service for them",
        "ask it too (python-binance: conditional=True; ccxt: params={'trigger': True}; HTTP: "
        "/fapi/v1/openAlgoOrders, /fapi/v1/algoOpenOrders)",
    ),
}
"""What the scan's codes mean, the worst first."""


def source_problems(found: Scan, *, is_bridged: bool) -> Iterator[tuple[str, str]]:
    """Yield the code and the text of each problem of the source.

    Args:
        found: The scan.
        is_bridged: Whether the bridge keeps old calls of python-binance working.
    """
    yield from reach_problems(found)
    yield from outdated_texts(found, is_bridged=is_bridged)


def reach_problems(found: Scan) -> Iterator[tuple[str, str]]:
    """Yield the code and a sentence for the places that `wrap` and `install()` do not see."""
    outside = [site for site in leaves_of(found) if site.reach == "neither"]
    if outside:
        text = f"{senders_text(outside)}, which are neither recorded nor guarded ({places_text(outside)})"
        yield "SITES_OUT_OF_REACH", text
    raw = raw_sites(found)
    if raw:
        text = f"{senders_text(raw)}, which are recorded only with {RAW_WAYS} ({places_text(raw)})"
        yield "SITES_ONLY_BY_RAW", text


def raw_sites(found: Scan) -> list[Site]:
    """Return the sites that only `install(raw=True)` covers; none where the environment says that it does."""
    return [] if is_raw_wanted() else [site for site in leaves_of(found) if site.reach == "raw"]


def senders_text(sites: Sequence[Site]) -> str:
    """Return how many places send orders, and by which libraries."""
    libraries = ", ".join(sorted({site.library for site in sites}))
    return (
        f"{pluralize(len(sites), 'place')} in the source send{'s' * (len(sites) == 1)} orders by {libraries}"
    )


def outdated_texts(found: Scan, *, is_bridged: bool) -> Iterator[tuple[OutdatedCode, str]]:
    """Yield the code and a sentence for the calls of before 2025-12-09 of each kind."""
    for code, advice in OUTDATED.items():
        rows = [row for row in found.outdated if row.code == code]
        rows = [row for row in rows if not (is_bridged and row.library == PYTHON_BINANCE)]
        if rows:
            what = advice.one if len(rows) == 1 else advice.many
            helps = any(row.library == PYTHON_BINANCE for row in rows)
            bridge = ", or run the bot with exit-shim run --bridge" * helps
            yield code, f"{len(rows)} {what} ({places_text(rows)}); {advice.todo}{bridge}"


def places_text(rows: Sequence[Site | OutdatedCall]) -> str:
    """Return the first places as file:line, and how many more there are."""
    names = [f"{row.file}:{row.line}" for row in rows[:MOST_PLACES]]
    more = len(rows) - len(names)
    return ", ".join(names) + f" and {more} more" * bool(more)
