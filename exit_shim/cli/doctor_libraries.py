"""Find the installed client libraries, and the doors that their releases lack."""

import importlib
import importlib.util
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import msgspec

from exit_shim.clients.registry import LIBRARIES
from exit_shim.clients.seams import missing_doors
from exit_shim.clients.support import ClientSupport


class LibraryState(msgspec.Struct, frozen=True):
    """Say whether a supported client library is installed, and which of its doors are missing.

    Attributes:
        name: Its name on the package index.
        version: The installed release; None where it is not installed.
        tested_with: The releases that the doors were tested with.
        missing: The doors that the installed release does not have.
        problem: Why it cannot be imported.
    """

    name: str
    version: str | None
    tested_with: str
    missing: list[str] = []
    problem: str | None = None


def inspect_libraries() -> list[LibraryState]:
    """Inspect every supported library except python-binance, which the doctor checks in more detail."""
    return [inspect_library(library) for library in LIBRARIES.values() if library.modules]


def inspect_library(library: ClientSupport) -> LibraryState:
    """Import a library if it is installed, and look for its doors."""
    try:
        number = version(library.name)
    except PackageNotFoundError:
        return LibraryState(library.name, None, library.tested_with)
    try:
        for module in library.modules:
            importlib.import_module(module)
        missing = missing_doors(library)
    except Exception as error:  # noqa: BLE001 - whatever a broken package raises
        problem = f"{type(error).__name__}: {error}"
        return LibraryState(library.name, number, library.tested_with, problem=problem)
    return LibraryState(library.name, number, library.tested_with, missing)


def rows_of_libraries(states: list[LibraryState]) -> Iterator[tuple[str, str, str]]:
    """Yield table rows: each library's installed release, and the release that was tested."""
    for state in states:
        # In the value: as a cell of its own the longest name would make the whole table too narrow.
        if state.version is None:
            yield "library", "not installed", f"{state.name}; tested with {state.tested_with}"
            continue
        missing = f"; missing doors: {', '.join(state.missing)}" if state.missing else ""
        yield (
            "library",
            "installed",
            f"{state.name} {state.version}; tested with {state.tested_with}{missing}",
        )


def problem_of(state: LibraryState) -> str | None:
    """Return why orders through an installed library are not recorded; None where they are."""
    if state.problem is not None:
        return f"{state.name} {state.version} cannot be imported: {state.problem}"
    if state.missing:
        return (
            f"{state.name} {state.version} lacks {', '.join(state.missing)}: orders that go through them are "
            f"not recorded; install {state.tested_with}, which was tested"
        )
    return None
