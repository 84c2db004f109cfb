"""The architecture, held by the imports themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import exit_shim
from exit_shim.clients.binance_sdk_doors import PACKAGE
from exit_shim.clients.packages import PACKAGES
from exit_shim.clients.registry import SUPPORTED

ROOT = Path(exit_shim.__file__).parent

LIBRARIES = {
    *("clients.python_binance", "clients.python_binance_doors"),
    *("clients.binance_connector", "clients.binance_sdk", "clients.binance_sdk_doors", "clients.ccxt"),
}
"""The files that each know one client library; everything else reaches them through `clients.registry`."""

ROOMS = {path.parent.name for path in ROOT.glob("*/__init__.py")}

ABOVE_RUNTIME = ROOMS - {"runtime"}
STEPS = {"attribution", "guard", "journal", "sinks", "feeds", "resolving"}

NEVER = {
    "domain": ROOMS - {"domain"},
    "clients": {"guard", "journal", "gateway"},
    "attribution": {"clients", "journal", "gateway", "guard"},
    "gateway": STEPS | LIBRARIES,
    "guard": LIBRARIES | {"journal"},
    "journal": {"clients", "guard"},
    "feeds": {"cli"} | LIBRARIES,
    "resolving": {"guard"} | LIBRARIES,
    "bridge": {"guard"},
    "reports": {"clients", "guard"},
    "alerts": {"cli", "executor", "gateway"} | LIBRARIES,
    "scan": {"gateway", "guard", "journal"},
    "exchange": ROOMS - {"exchange"},
    "runtime": ABOVE_RUNTIME,
}
"""Each room and the rooms, or modules, that it must not import, not even inside a function."""

PUBLIC_NAMES_ONLY = {"testing", "cli", "executor"}
"""Rooms that use the others as a user does: no name that begins with an underscore."""

KNOWN: dict[tuple[str, str], str] = {}
"""Violations of today, each with what ends it; one that is gone must leave this table."""


def is_type_checking(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def import_nodes(node, *, inside_functions):
    """Yield the imports below a node, but for those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not inside_functions:
            continue
        elif is_type_checking(child):
            for statement in child.orelse:
                yield from import_nodes(ast.Module([statement], []), inside_functions=inside_functions)
        else:
            yield from import_nodes(child, inside_functions=inside_functions)


def imported_modules(path, *, inside_functions=True):
    """Return the modules of exit_shim that a file imports, without the package's name."""
    names = set()
    for node in import_nodes(ast.parse(path.read_text()), inside_functions=inside_functions):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {module_of(name.split(".")[1:]) for name in names if name.startswith("exit_shim.")}


def module_of(parts):
    """Return the dotted name of the module in which a name is, such as `guard.book` for `guard.book.Book`."""
    for size in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:size])
        if path.is_dir() or path.with_suffix(".py").is_file():
            return ".".join(parts[:size])
    return ""  # a name of the package itself


def room_of(path):
    """Return the room of a file, or the name of a module at the top."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else path.stem


def files_of(room):
    return sorted((ROOT / room).rglob("*.py"))


def is_in(module, forbidden):
    return any(module == one or module.startswith(f"{one}.") for one in forbidden)


def circles():
    """Return the circles between rooms, each as the rooms on its way, that arise when modules are loaded."""
    graph = {}
    for path in sorted(ROOT.rglob("*.py")):
        if path.name != "__init__.py" or path.parent != ROOT:
            rooms = {module.split(".")[0] for module in imported_modules(path, inside_functions=False)}
            graph.setdefault(room_of(path), set()).update(rooms - {room_of(path), ""})
    found = set()

    def walk(way):
        for room in sorted(graph.get(way[-1], ())):
            if room in way:
                circle = way[way.index(room) :]
                first = circle.index(min(circle))
                found.add((*circle[first:], *circle[:first]))
            else:
                walk((*way, room))

    for room in sorted(graph):
        walk((room,))
    return found


def test_no_room_imports_what_it_must_not():
    """A room imports none of the rooms that it must not know, and there is no circle between rooms."""
    wrong = set()
    for room, forbidden in NEVER.items():
        for path in files_of(room):
            for module in imported_modules(path):
                if is_in(module, forbidden):
                    name = module if module in LIBRARIES else module.split(".")[0]
                    wrong.add((str(path.relative_to(ROOT)), name))
    wrong |= {(" -> ".join((*circle, circle[0])), "circle") for circle in circles()}
    assert wrong == set(KNOWN)


def test_no_sink_knows_another():
    """A destination is a file or a folder of its own, and imports none of the others."""
    shared = {"sinks"}
    for path in files_of("sinks"):
        own = path.relative_to(ROOT / "sinks").parts[0].removesuffix(".py")
        others = {module for module in imported_modules(path) if is_in(module, {"sinks"})}
        assert {name for name in others - shared if not is_in(name, {f"sinks.{own}"})} == set(), path


@pytest.mark.parametrize("room", sorted(PUBLIC_NAMES_ONLY & ROOMS))
def test_a_room_that_uses_the_others_as_a_user_does(room):
    """It imports no private name of another room."""
    for path in files_of(room):
        for node in import_nodes(ast.parse(path.read_text()), inside_functions=True):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("exit_shim"):
                parts = [*node.module.split("."), *(alias.name for alias in node.names)]
                if not node.module.startswith(f"exit_shim.{room}"):
                    assert not [part for part in parts if part.startswith("_")], path


KNOWN_BY = {
    "binance": "python_binance",
    "binance.error": "binance_connector",
    "ccxt": "ccxt",
    "binance_common": "binance_sdk",
    PACKAGE: "binance_sdk",
}
"""The modules of each client library, and how the names of its own files in `clients/` begin."""


def test_a_client_library_is_known_to_its_own_files_alone():
    """Each library is imported by its files in `clients/`; fakes and commands that make clients aside."""
    strangers = []
    for path in ROOT.rglob("*.py"):
        if room_of(path) in {"testing", "cli", "exchange"}:
            continue
        for node in import_nodes(ast.parse(path.read_text()), inside_functions=True):
            names = (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            )
            for name in names:
                known = KNOWN_BY.get(name) or KNOWN_BY.get(name.partition(".")[0])
                if known is not None and not (path.parent.name == "clients" and path.stem.startswith(known)):
                    strangers.append(f"{path.relative_to(ROOT)} imports {name}")
    assert strangers == []


def test_the_packages_to_wait_for_are_those_of_the_libraries():
    """The table that `exit_shim.auto` loads alone names the package of every supported library."""
    assert set(PACKAGES) == {library.package for library in SUPPORTED}


def test_the_core_imports_no_exchange_library_and_no_extra():
    """What is public loads neither python-binance nor what only an extra brings."""
    names = sorted(exit_shim.__all__)
    use = f"import exit_shim, sys; [getattr(exit_shim, name) for name in {names}]"
    loaded = subprocess.run(
        [sys.executable, "-c", f"{use}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"binance", "aiohttp", "requests", "click", "psycopg", "pytest"}.isdisjoint(loaded)


def test_the_public_names_are_sorted_and_there():
    """`__all__` is sorted, and every name in it can be had."""
    assert exit_shim.__all__ == sorted(exit_shim.__all__)
    assert all(hasattr(exit_shim, name) for name in exit_shim.__all__)
