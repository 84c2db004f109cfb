"""The engine stays an engine: what its files may import."""

import ast
from pathlib import Path

import pytest

import exit_shim.exchange.engine

ENGINE = Path(exit_shim.exchange.engine.__file__).parent
STANDARD = {
    "__future__",
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "hashlib",
    "heapq",
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


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=lambda path: path.stem)
def test_the_engine_imports_no_io(path):
    """No sockets, threads or web server in the engine, and nothing of exit_shim but the engine itself."""
    foreign = [name for name in imported(path) if not name.startswith("exit_shim.exchange.engine")]
    assert {name.partition(".")[0] for name in foreign} <= ALLOWED
