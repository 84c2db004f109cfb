"""The architecture, held by the imports themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import exit_shim

ROOT = Path(exit_shim.__file__).parent

MAY_IMPORT = {
    "orders": set(),
    "files": set(),
    "frames": {"files"},
    "contexts": set(),
    "attribution": {"contexts", "files", "frames"},
    "carrying": {"attribution", "frames"},
    "modes": set(),
    "errors": {"policy"},
    "locks": set(),
    "dispatch": {"locks"},
    "logs": {"dispatch"},
    "scrubbing": set(),
    "python_binance": set(),
    "refusals": {"scrubbing"},
    "doors": {"orders", "python_binance"},
    "policy": {"attribution", "doors", "modes", "orders"},
    "stock": {"accounts", "book", "doors", "orders", "records"},
    "listening": {"book", "doors", "orders", "releases", "resolving", "scrubbing", "stock"},
    "rules": {"attribution", "book", "doors", "orders", "policy", "records"},
    "guard": {
        "accounts",
        "attribution",
        "book",
        "doors",
        "errors",
        "journal",
        "locks",
        "orders",
        "outcomes",
        "policy",
        "python_binance",
        "records",
        "resolving",
        "rules",
        "stock",
    },
    "records": {"attribution", "doors", "frames", "orders", "policy"},
    "outcomes": {"doors", "python_binance", "records", "refusals", "scrubbing"},
    "journal": {"frames", "records", "scrubbing"},
    "postgres": {"frames", "journal", "records", "scrubbing"},
    "troubles": {"dispatch", "locks", "logs", "scrubbing"},
    "sinks": {"dispatch", "doors", "locks", "logs", "policy", "records", "troubles"},
    "accounts": {"python_binance", "scrubbing"},
    "layers": {"doors", "orders"},
    "releases": {"doors"},
    "book": {"doors", "locks", "orders", "records"},
    "reading": {"book", "doors", "orders", "records", "scrubbing"},
    "gateway": {
        "accounts",
        "book",
        "contexts",
        "layers",
        "reading",
        "attribution",
        "doors",
        "frames",
        "guard",
        "journal",
        "orders",
        "outcomes",
        "policy",
        "records",
        "scrubbing",
        "sinks",
        "stock",
        "troubles",
    },
    "resolving": {
        "accounts",
        "doors",
        "locks",
        "orders",
        "python_binance",
        "records",
        "scrubbing",
        "troubles",
    },
    "configuration": {"journal", "logs", "modes", "policy", "resolving", "rules"},
    "testing": {"_lazy", "dispatch"},
    # The pytest kit sets up a shim and reads its records, as a user would.
    "testing/kit": {"configuration", "files", "journal", "modes", "records", "shim", "testing"},
}
"""Each room and the rooms below it that it may know; rooms above these are free to know all."""


def imported_rooms(path):
    """The rooms of exit_shim that a file imports when it is loaded."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.level == 0
            and (node.module or "").startswith("exit_shim")
        ):
            names.add((node.module or "").split(".")[1] if "." in (node.module or "") else "")
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("exit_shim.")}
    return names


def test_imports_run_downward_only():
    """A room imports only the rooms that it may know."""
    wrong = {}
    for room, allowed in MAY_IMPORT.items():
        package = ROOT / room
        files = package.rglob("*.py") if package.is_dir() else [ROOT / f"{room}.py"]
        rooms_inside = [ROOT / inner for inner in MAY_IMPORT if inner.startswith(f"{room}/")]
        for file in files:
            if any(inner in file.parents for inner in rooms_inside):
                continue
            found = imported_rooms(file) - allowed - {room}
            if found:
                wrong[str(file.relative_to(ROOT))] = found
    assert wrong == {}


def test_the_core_imports_no_exchange_library_and_no_extra():
    """What is public, ExitOrderDenied aside, loads neither python-binance nor what only an extra brings."""
    names = sorted(set(exit_shim.__all__) - {"ExitOrderDenied"})
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
