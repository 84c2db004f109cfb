"""`exit-shim doctor`: whether orders would be recorded, and stops be taken, on the machine at hand."""

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import click
import msgspec

from exit_shim.cli.output import json_text, say
from exit_shim.cli.reading import as_json
from exit_shim.cli.tables import show
from exit_shim.clients.python_binance import (
    METHODS,
    hears_user_stream,
    missing_doors,
    sends_stops_where_accepted,
)
from exit_shim.configuration import DISABLED_VARIABLE, JOURNAL_VARIABLE, is_disabled, journal_path
from exit_shim.domain.modes import BRAIN_FLAG_VARIABLE, MODE_VARIABLE, resolve_mode
from exit_shim.feeds.other_processes import off_file
from exit_shim.guard.policy import POLICY_VARIABLE, PolicyError, Roles, find_policy, modes_of, read_policy
from exit_shim.guard.policy.model import BUILT_IN
from exit_shim.guard.rules import custom_codes
from exit_shim.journal import Condition, JournalReader, examine

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
}
"""Every code that a finding can have. An error loses records or stops; a warning does not."""

LITTLE_ROOM: Final = 20_000_000
"""Free bytes below which the disk is called nearly full: some thousand orders, their WAL included."""


class Setting(msgspec.Struct, frozen=True):
    """One piece of configuration, and where its value came from."""

    name: str
    value: str
    source: Literal["environment", "this folder", "default"]


class Client(msgspec.Struct, frozen=True):
    """What one class of the installed python-binance can do.

    `stops` and `websocket_stops` say whether conditional orders go where Binance takes them; None where
    there is no such method.
    """

    name: str
    doors: int
    missing: list[str]
    stops: bool
    websocket_stops: bool | None


class Library(msgspec.Struct, frozen=True):
    """The installed python-binance; `problem` says why it cannot be used."""

    clients: list[Client] = []
    user_stream: bool | None = None
    problem: str | None = None


class Finding(msgspec.Struct, frozen=True):
    """Something to know; its code is one of `LEVELS`."""

    level: Literal["error", "warning"]
    code: str
    text: str


def finding(code: str, text: str) -> Finding:
    """One of the code's level."""
    return Finding(LEVELS[code], code, text)


class Report(msgspec.Struct, frozen=True):
    """All that was found."""

    versions: Mapping[str, str | None]
    journal: Mapping[str, Any]
    python_binance: Library
    configuration: list[Setting]
    findings: list[Finding]


@click.command()
@as_json
def doctor(*, as_json: bool) -> None:
    """Check this machine: versions, journal, python-binance, configuration.

    The exit status is 1 where something would lose records or stops. No exchange is asked. What a bot sets
    in its own code, by ExitShim(...), is not seen from here.
    """
    found = report()
    if as_json:
        say(json_text(found))
    else:
        show(("about", "what", "found"), list(rows(found)))
        for one in found.findings:
            say(f"{one.level}: {one.code} {one.text}")
        if not found.findings:
            say("nothing to complain of")
    sys.exit(any(one.level == "error" for one in found.findings))


def report() -> Report:
    """Look at everything; nothing is changed, and no host is asked."""
    journal, library = examine(journal_path()), installed_library()
    return Report(
        versions=versions(),
        journal=journal._asdict(),
        python_binance=library,
        configuration=list(configuration()),
        findings=[*about_recording(journal), *about_mode(), *about_policy(), *about_library(library)],
    )


def versions() -> dict[str, str | None]:
    """Of Python and of what the shim is made of; None for what is not installed."""
    return {"python": platform.python_version(), **{name: installed_version(name) for name in PACKAGES}}


def installed_version(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def installed_library() -> Library:
    """What the installed python-binance can do, told from its classes."""
    try:
        import binance  # noqa: PLC0415 - heavy, and it may be what is broken

        kinds, manager = (binance.Client, binance.AsyncClient), binance.BinanceSocketManager
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is to be told
        return Library(problem=f"{type(error).__name__}: {error}")
    return Library(clients=[client(kind) for kind in kinds], user_stream=hears_user_stream(manager))


def client(kind: type) -> Client:
    """What a client class can do."""
    over_websocket, missing = "ws_futures_create_order", missing_doors(kind)
    return Client(
        name=kind.__name__,
        doors=len(METHODS) - len(missing),
        missing=missing,
        stops=sends_stops_where_accepted(kind),
        websocket_stops=(
            sends_stops_where_accepted(kind, over_websocket) if hasattr(kind, over_websocket) else None
        ),
    )


def configuration() -> Iterator[Setting]:
    """What is in force, and whether the environment said so."""
    values = {
        MODE_VARIABLE: resolve_mode(os.environ.get(MODE_VARIABLE), None).mode,
        BRAIN_FLAG_VARIABLE: os.environ.get(BRAIN_FLAG_VARIABLE) or "not set",
        JOURNAL_VARIABLE: journal_path(),
        DISABLED_VARIABLE: "1" if is_disabled() else "0",
    }
    for name, value in values.items():
        yield Setting(name, value, "environment" if os.environ.get(name) else "default")
    policy = find_policy(Path.cwd())
    yield Setting(
        POLICY_VARIABLE,
        str(policy or "none: Roles hold, and nothing is enforced"),
        "environment" if os.environ.get(POLICY_VARIABLE) else "this folder" if policy else "default",
    )
    for name in Roles.__struct_fields__:
        yield Setting(f"roles.{name}", ", ".join(sorted(getattr(Roles(), name))) or "none", "default")


def about_recording(journal: Condition) -> Iterator[Finding]:
    """What keeps orders from being recorded, or leaves recorded ones open."""
    if is_disabled():
        yield finding("RECORDING_DISABLED", f"{DISABLED_VARIABLE} is set: no order is recorded; unset it")
    if journal.problem is not None:
        yield finding("JOURNAL_UNUSABLE", journal.problem)
    if journal.free is not None and journal.free < LITTLE_ROOM:
        yield finding("DISK_NEARLY_FULL", f"{journal.free} bytes are left for {journal.path}; make room")
    if journal.in_doubt:
        yield finding(
            "ORDERS_IN_DOUBT",
            f"what became of {journal.in_doubt} of {journal.records} orders is not known; "
            "see exit-shim records",
        )
    if journal.runs:
        for door, why in JournalReader(journal.path).read_unread_doors().items():
            yield finding("DOOR_UNREAD", f"the door {door} has seen calls and read none of them: {why}")


def about_policy() -> Iterator[Finding]:
    """A policy with an error, and the kill switch."""
    path = find_policy(Path.cwd())
    if path is not None:
        try:
            read_policy(path, custom_codes())
        except PolicyError as error:
            yield finding("POLICY_UNUSABLE", str(error))
            return
    if off_file(Path(journal_path())).exists():
        yield finding("ENFORCEMENT_OFF", "enforcement is switched off; `exit-shim enforce on` ends that")


def known_modes() -> Mapping[str, object]:
    """The modes of the policy at hand, or the built-in ones."""
    path = find_policy(Path.cwd())
    try:
        return BUILT_IN if path is None else modes_of(read_policy(path, custom_codes()))
    except PolicyError:
        return BUILT_IN


def about_mode() -> Iterator[Finding]:
    """What is wrong with the mode's variables."""
    said = os.environ.get(MODE_VARIABLE), os.environ.get(BRAIN_FLAG_VARIABLE)
    for problem in resolve_mode(*said, tuple(known_modes())).problems:
        yield finding("MODE_UNCLEAR", problem)


def about_library(library: Library) -> Iterator[Finding]:
    """Where the installed python-binance is behind Binance's rules."""
    if library.problem is not None:
        yield finding("PYTHON_BINANCE_UNUSABLE", f"python-binance cannot be imported: {library.problem}")
        return
    if not all(client.stops for client in library.clients):
        yield finding(
            "STOPS_REFUSED",
            "this python-binance sends conditional orders to /fapi/v1/order, where Binance has answered "
            "-4120 since 2025-12-09; install 1.0.33 or newer",
        )
    elif any(client.websocket_stops is False for client in library.clients):
        yield finding(
            "WEBSOCKET_STOPS_REFUSED",
            "ws_futures_create_order sends conditional orders to order.place, where Binance has answered "
            "-4120 since 2025-12-09; install 1.0.34 or newer, or place stops by futures_create_order",
        )
    if not library.user_stream:
        yield finding(
            "USER_STREAM_SILENT",
            "the futures user stream of this python-binance connects and has been silent since 2026-04-23; "
            "install 1.0.36 or newer",
        )


def rows(found: Report) -> Iterator[tuple[str, str, str]]:
    """The report as a table."""
    for package, number in found.versions.items():
        yield "version", package, number or "not installed"
    for name, value in found.journal.items():
        yield "journal", name, said(value)
    for one in found.python_binance.clients:
        yield one.name, "doors", f"{one.doors} of {len(METHODS)}"
        yield one.name, "doors it has not", ", ".join(one.missing) or "none"
        yield one.name, "stops are taken", said(one.stops)
        yield one.name, "stops by WebSocket API are taken", said(one.websocket_stops)
    yield "python-binance", "user stream is heard", said(found.python_binance.user_stream)
    for setting in found.configuration:
        yield "configuration", setting.name, f"{setting.value} ({setting.source})"


def said(value: object) -> str:
    """Yes, no or the value; a dash for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
