"""What the files of the local exchange may import: nothing else of exit_shim, and no I/O in the engine."""

import ast
from pathlib import Path

import pytest

import exit_shim.exchange

EXCHANGE = Path(exit_shim.exchange.__file__).parent
ENGINE = EXCHANGE / "engine"
STANDARD = {
    "__future__",
    "array",
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "functools",
    "hashlib",
    "heapq",
    "importlib",
    "itertools",
    "math",
    # For the table of contracts, which is a file of the package.
    "random",
    "re",
    "time",
    "typing",
}
ALLOWED = STANDARD | {"msgspec"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def levels(path):
    """Return how many packages up each relative import begins; 1 is the file's own."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node.level for node in tree if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=lambda path: path.stem)
def test_the_engine_imports_no_io(path):
    """No sockets, threads or web server in the engine, and nothing of exit_shim but the engine itself."""
    foreign = [name for name in imported(path) if not name.startswith("exit_shim.exchange.engine")]
    assert {name.partition(".")[0] for name in foreign} <= ALLOWED


@pytest.mark.parametrize(
    "path", sorted(EXCHANGE.rglob("*.py")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_the_exchange_imports_nothing_else_of_exit_shim(path):
    """Every import of exit_shim in a file of the exchange stays within the exchange."""
    depth = len(path.relative_to(EXCHANGE).parts)
    absolute = [name for name in imported(path) if name.partition(".")[0] == "exit_shim"]
    assert [name for name in absolute if not f"{name}.".startswith("exit_shim.exchange.")] == []
    assert all(level <= depth for level in levels(path))
