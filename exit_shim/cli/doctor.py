"""`exit-shim doctor`: what would lose records or stops on this machine."""

import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import click
import msgspec

from exit_shim.bridge.calls import ALGO_ONLY
from exit_shim.cli.bot_source import BotSource, leaves_of, read_bot_source, source_option
from exit_shim.cli.doctor_libraries import LibraryState, inspect_libraries, problem_of, rows_of_libraries
from exit_shim.cli.doctor_source import source_problems
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import json_option
from exit_shim.cli.output import say
from exit_shim.cli.switches import available_modes
from exit_shim.cli.tables import show_table
from exit_shim.clients.python_binance_doors import METHODS
from exit_shim.clients.python_binance_releases import (
    hears_user_stream,
    missing_doors,
    sends_stops_where_accepted,
)
from exit_shim.configuration import DISABLED_VARIABLE, bridges_in_force, is_disabled
from exit_shim.domain.modes import BRAIN_FLAG_VARIABLE, MODE_VARIABLE, resolve_mode
from exit_shim.domain.reason_codes import FUTILE_CANCEL
from exit_shim.feeds.other_processes import off_file
from exit_shim.guard.policy import POLICY_VARIABLE, PolicyError, Roles, find_policy, read_policy
from exit_shim.guard.rules import custom_codes
from exit_shim.journal import Condition, JournalReader, RecordFilter, examine
from exit_shim.journal.default_path import JOURNAL_VARIABLE, journal_path

PACKAGES: Final = ("exit_shim", "python-binance", "wrapt", "structlog", "msgspec")

LEVELS: Final[Mapping[str, Literal["error", "warning"]]] = {
    "RECORDING_DISABLED": "error",
    "JOURNAL_UNUSABLE": "error",
    "DISK_NEARLY_FULL": "error",
    "ORDERS_IN_DOUBT": "warning",
    "DOOR_UNREAD": "warning",
    "MODE_UNCLEAR": "warning",
    "POLICY_UNUSABLE": "error",
    "ENFORCEMENT_OFF": "warning",
    "PYTHON_BINANCE_UNUSABLE": "error",
    "STOPS_REFUSED": "error",
    "WEBSOCKET_STOPS_REFUSED": "error",
    "USER_STREAM_SILENT": "warning",
    "BRIDGE_WOULD_HELP": "warning",
    "LIBRARY_UNUSABLE": "error",
    "SITES_OUT_OF_REACH": "warning",
    "SITES_ONLY_BY_RAW": "warning",
    "STOPS_TO_OLD_PATH": "warning",
    "ALGO_ID_IGNORED": "warning",
    "ALGO_STORE_IGNORED": "warning",
}
"""The code of each problem with its level: an error loses records or stops, a warning does not."""

LOOK_BACK_DAYS: Final = 7
LOOK_BACK_NS: Final = LOOK_BACK_DAYS * 24 * 3_600_000_000_000
"""How far back the journal is read for calls of before 2025-12-09."""

MIN_FREE_BYTES: Final = 20_000_000
"""Free bytes below which the disk counts as nearly full: some thousand orders, WAL included."""


class ConfiguredValue(msgspec.Struct, frozen=True):
    """A setting's value in force, and where it came from."""

    name: str
    value: str
    source: Literal["environment", "this folder", "default"]


class ClientAbilities(msgspec.Struct, frozen=True):
    """What a client class of the installed python-binance can do.

    `stops` and `websocket_stops` tell whether conditional orders go where Binance accepts them; None where
    there is no such method.
    """

    name: str
    doors: int
    missing: list[str]
    stops: bool
    websocket_stops: bool | None


class InstalledLibrary(msgspec.Struct, frozen=True):
    """The installed python-binance; `problem` says why it cannot be used."""

    clients: list[ClientAbilities] = []
    user_stream: bool | None = None
    problem: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """Something to mend; its code is one of `LEVELS`."""

    level: Literal["error", "warning"]
    code: str
    text: str


class SourceSummary(msgspec.Struct, frozen=True):
    """Count the places in the bot's source that send orders; `problem` says why it was not read."""

    path: str | None = None
    origin: str | None = None
    sites: int = 0
    out_of_reach: int = 0
    only_by_raw: int = 0
    problem: str | None = None


class Diagnosis(msgspec.Struct, frozen=True):
    """Everything that the doctor looked at."""

    versions: Mapping[str, str | None]
    journal: Mapping[str, Any]
    python_binance: InstalledLibrary
    libraries: list[LibraryState]
    configuration: list[ConfiguredValue]
    source: SourceSummary
    problems: list[Problem]


@click.command()
@source_option
@json_option
def doctor(*, source: Path | None, as_json: bool) -> None:
    """Check this machine for what would lose records or stops.

    Shows versions, the journal, the client libraries and the configuration. Reads the bot's source for orders
    out of reach and for calls that broke on 2025-12-09. The exit status is 1 where records or stops would be
    lost. No exchange is asked. What a bot passes to ExitShim(...) in its code does not show here.
    """
    diagnosis = diagnose(source)
    if as_json:
        say(json_text(diagnosis))
    else:
        show_table(("about", "what", "value"), list(table_rows(diagnosis)))
        say(*(f"{problem.level}: {problem.code} {problem.text}" for problem in diagnosis.problems))
        if not diagnosis.problems:
            say("No problems found.")
    sys.exit(any(problem.level == "error" for problem in diagnosis.problems))


def diagnose(source: Path | None = None) -> Diagnosis:
    """Look at everything, without changing it and without asking a host.

    Args:
        source: Where the bot's source is; None for this folder, if it holds one.
    """
    journal, library, libraries = examine(journal_path()), inspect_library(), inspect_libraries()
    bot = read_bot_source(source)
    return Diagnosis(
        versions=read_versions(),
        journal=journal._asdict(),
        python_binance=library,
        libraries=libraries,
        configuration=list(read_configuration()),
        source=summarize(bot),
        problems=[
            *check_recording(journal),
            *check_mode(),
            *check_policy(),
            *check_library(library),
            *(make_problem("LIBRARY_UNUSABLE", text) for text in map(problem_of, libraries) if text),
            # A release whose stops are refused has an error of its own, which names the bridge.
            *(check_bridge(journal) if all(client.stops for client in library.clients) else ()),
            *check_source(bot),
        ],
    )


def make_problem(code: str, text: str) -> Problem:
    """Return a problem with the level of its code."""
    return Problem(LEVELS[code], code, text)


def read_versions() -> dict[str, str | None]:
    """Return the versions of Python and of the core's packages; None for what is not installed."""
    return {"python": platform.python_version(), **{name: installed_version(name) for name in PACKAGES}}


def installed_version(package: str) -> str | None:
    """Return the version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def inspect_library() -> InstalledLibrary:
    """Read the abilities of the installed python-binance from its classes."""
    try:
        import binance  # noqa: PLC0415 - heavy, and it may be what is broken

        kinds, manager = (binance.Client, binance.AsyncClient), binance.BinanceSocketManager
    except Exception as error:  # noqa: BLE001 - whatever a broken package raises
        return InstalledLibrary(problem=f"{type(error).__name__}: {error}")
    return InstalledLibrary(
        clients=[inspect_client(kind) for kind in kinds], user_stream=hears_user_stream(manager)
    )


def inspect_client(kind: type) -> ClientAbilities:
    """Read the abilities of a client class."""
    over_websocket, missing = "ws_futures_create_order", missing_doors(kind)
    return ClientAbilities(
        name=kind.__name__,
        doors=len(METHODS) - len(missing),
        missing=missing,
        stops=sends_stops_where_accepted(kind),
        websocket_stops=(
            sends_stops_where_accepted(kind, over_websocket) if hasattr(kind, over_websocket) else None
        ),
    )


def read_configuration() -> Iterator[ConfiguredValue]:
    """Yield the settings in force, each with where its value came from."""
    values = {
        MODE_VARIABLE: resolve_mode(os.environ.get(MODE_VARIABLE), None).mode,
        BRAIN_FLAG_VARIABLE: os.environ.get(BRAIN_FLAG_VARIABLE) or "not set",
        JOURNAL_VARIABLE: journal_path(),
        DISABLED_VARIABLE: "1" if is_disabled() else "0",
    }
    for name, value in values.items():
        yield ConfiguredValue(name, value, "environment" if os.environ.get(name) else "default")
    policy = find_policy(Path.cwd())
    yield ConfiguredValue(
        POLICY_VARIABLE,
        str(policy or "none: the roles below apply, and nothing is enforced"),
        "environment" if os.environ.get(POLICY_VARIABLE) else "this folder" if policy else "default",
    )
    for name in Roles.__struct_fields__:
        members = ", ".join(sorted(getattr(Roles(), name))) or "none"
        yield ConfiguredValue(f"roles.{name}", members, "default")


def check_recording(journal: Condition) -> Iterator[Problem]:
    """Yield what keeps orders from being recorded, or leaves recorded ones open."""
    if is_disabled():
        yield make_problem(
            "RECORDING_DISABLED", f"{DISABLED_VARIABLE} is set, so no order is recorded; unset it"
        )
    if journal.problem is not None:
        yield make_problem("JOURNAL_UNUSABLE", journal.problem)
    if journal.free is not None and journal.free < MIN_FREE_BYTES:
        yield make_problem("DISK_NEARLY_FULL", f"{journal.free} bytes are free for {journal.path}; make room")
    if journal.in_doubt:
        yield make_problem(
            "ORDERS_IN_DOUBT",
            f"{journal.in_doubt} of {journal.records} orders have no proven outcome; run exit-shim reconcile",
        )
    if journal.runs:
        for door, why in JournalReader(journal.path).read_unread_doors().items():
            yield make_problem("DOOR_UNREAD", f"no call through the door {door} could be read: {why}")


def check_policy() -> Iterator[Problem]:
    """Yield an error of the policy file, and the kill switch."""
    path = find_policy(Path.cwd())
    if path is not None:
        try:
            read_policy(path, custom_codes())
        except PolicyError as error:
            yield make_problem("POLICY_UNUSABLE", str(error))
            return
    if off_file(Path(journal_path())).exists():
        yield make_problem(
            "ENFORCEMENT_OFF", "enforcement is switched off; switch it on with exit-shim enforce on"
        )


def check_mode() -> Iterator[Problem]:
    """Yield what is wrong with the mode's variables."""
    variables = os.environ.get(MODE_VARIABLE), os.environ.get(BRAIN_FLAG_VARIABLE)
    for problem in resolve_mode(*variables, tuple(available_modes())).problems:
        yield make_problem("MODE_UNCLEAR", problem)


def check_library(library: InstalledLibrary) -> Iterator[Problem]:
    """Yield where the installed python-binance is behind Binance's rules."""
    if library.problem is not None:
        yield make_problem("PYTHON_BINANCE_UNUSABLE", f"python-binance cannot be imported: {library.problem}")
        return
    if not all(client.stops for client in library.clients):
        yield make_problem(
            "STOPS_REFUSED",
            "this python-binance sends conditional orders to /fapi/v1/order, where Binance has answered "
            "-4120 since 2025-12-09; install 1.0.33 or newer, or run the bot with exit-shim run --bridge",
        )
    elif any(client.websocket_stops is False for client in library.clients):
        yield make_problem(
            "WEBSOCKET_STOPS_REFUSED",
            "ws_futures_create_order sends conditional orders to order.place, where Binance has answered "
            "-4120 since 2025-12-09; install 1.0.34 or newer, or place stops with futures_create_order",
        )
    if not library.user_stream:
        yield make_problem(
            "USER_STREAM_SILENT",
            "this python-binance connects to a futures user stream that has been silent since 2026-04-23; "
            "install 1.0.36 or newer",
        )


def check_bridge(journal: Condition) -> Iterator[Problem]:
    """Yield that the bot's calls are those of before 2025-12-09, as far as the journal shows."""
    if not journal.runs or bridges_in_force(None):
        return
    since_ns = time.time_ns() - LOOK_BACK_NS
    refused = futile = 0
    for record in JournalReader(journal.path).read_records(RecordFilter(since_ns=since_ns)):
        if record.intent.is_bridged:
            return
        refused += record.outcome is not None and record.outcome.error_code == ALGO_ONLY
        futile += any(reason.code == FUTILE_CANCEL for reason in record.reasons)
    signs = [f"{refused} stops were refused with {ALGO_ONLY}"] * bool(refused)
    signs += [f"{futile} cancel-alls reached no stop"] * bool(futile)
    if signs:
        yield make_problem(
            "BRIDGE_WOULD_HELP",
            f"in the last {LOOK_BACK_DAYS} days {' and '.join(signs)}: the bot speaks to the exchange of "
            "before 2025-12-09. exit-shim run --bridge, or EXIT_SHIM_BRIDGE=1, keeps its calls working; run "
            "exit-shim audit first, which lists the orders that piled up unseen",
        )


def check_source(bot: BotSource | str) -> Iterator[Problem]:
    """Yield the orders in the bot's source that are out of reach, and the calls that broke on 2025-12-09."""
    if not isinstance(bot, str):
        for code, text in source_problems(bot.scan, is_bridged=bridges_in_force(None)):
            yield make_problem(code, text)


def summarize(bot: BotSource | str) -> SourceSummary:
    """Return what was read of the bot's source, in numbers."""
    if isinstance(bot, str):
        return SourceSummary(problem=f"{bot}; name the bot's with --source PATH")
    sites = leaves_of(bot.scan)
    outside, raw = (sum(site.reach == reach for site in sites) for reach in ("neither", "raw"))
    return SourceSummary(bot.scan.root, bot.origin, len(sites), outside, raw)


def table_rows(diagnosis: Diagnosis) -> Iterator[tuple[str, str, str]]:
    """Yield the diagnosis as rows of a table."""
    for package, number in diagnosis.versions.items():
        yield "version", package, number or "not installed"
    for name, value in diagnosis.journal.items():
        yield "journal", name, value_text(value)
    for client in diagnosis.python_binance.clients:
        yield client.name, "doors", f"{client.doors} of {len(METHODS)}"
        yield client.name, "missing doors", ", ".join(client.missing) or "none"
        yield client.name, "stops are accepted", value_text(client.stops)
        yield client.name, "WebSocket stops are accepted", value_text(client.websocket_stops)
    yield "python-binance", "user stream works", value_text(diagnosis.python_binance.user_stream)
    yield from rows_of_libraries(diagnosis.libraries)
    for setting in diagnosis.configuration:
        yield "configuration", setting.name, f"{setting.value} ({setting.source})"
    bot = diagnosis.source
    yield "source", "folder", f"{bot.path} ({bot.origin})" if bot.problem is None else f"none: {bot.problem}"
    if bot.problem is None:
        reach = f"{bot.out_of_reach} out of reach, {bot.only_by_raw} by raw HTTP"
        yield "source", "places that send orders", f"{bot.sites}, {reach}"


def value_text(value: object) -> str:
    """Return yes, no or the value; a dash for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
