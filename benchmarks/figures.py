"""Measure the package's source: lines, modules, rooms, functions, complexity and comments.

Run it as `python benchmarks/figures.py [FOLDER]`, with the package of another checkout to compare.
"""

import ast
import statistics
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

OUTSIDE_THE_CORE = {"exchange", "testing", "cli", "sinks", "postgres"}
"""Rooms that a bot does not load."""

COMPLEX = 10
"""The complexity from which on a function is counted."""

BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.comprehension)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield every function and method."""
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def length(function: Function) -> int:
    """Return the lines of a function, without its decorators and docstring."""
    first = function.body[0]
    is_documented = ast.get_docstring(function, clean=False) is not None
    documented = (first.end_lineno or 0) - first.lineno + 1 if is_documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - documented


def complexity(function: Function) -> int:
    """Return the cyclomatic complexity: branches, boolean operators, and one."""
    branches = sum(isinstance(node, BRANCHES) for node in ast.walk(function))
    operators = sum(len(node.values) - 1 for node in ast.walk(function) if isinstance(node, ast.BoolOp))
    return 1 + branches + operators


def own_line_comments(path: Path) -> int:
    """Return how many comments stand on a line of their own."""
    with path.open("rb") as source:
        tokens = [token for token in tokenize.tokenize(source.readline) if token.type == tokenize.COMMENT]
    return sum(token.line.lstrip().startswith("#") for token in tokens)


def code_lines(path: Path) -> int:
    """Return the lines that hold code: without blank lines, comments and docstrings."""
    tree = ast.parse(path.read_text())
    texts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str):
            texts.update(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = enumerate(path.read_text().splitlines(), 1)
    return sum(
        number not in texts and bool(line.strip()) and not line.lstrip().startswith("#")
        for number, line in lines
    )


def main() -> None:
    """Print the figures."""
    package = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "exit_shim")
    paths = sorted(package.rglob("*.py"))
    lines = {path: len(path.read_text().splitlines()) for path in paths}
    core = [path for path in paths if OUTSIDE_THE_CORE.isdisjoint(path.relative_to(package).parts)]
    found = [function for path in paths for function in functions(ast.parse(path.read_text()))]
    lengths = sorted(map(length, found))
    comments = sum(map(own_line_comments, paths))
    total = sum(lines.values())
    rooms = sum(child.is_dir() and not child.name.startswith("__") for child in package.iterdir())
    for name, value in {
        "lines": total,
        "lines of the core": sum(lines[path] for path in core),
        "lines of code": sum(map(code_lines, paths)),
        "lines of code of the core": sum(map(code_lines, core)),
        "modules": len(paths),
        "modules at top level": len(list(package.glob("*.py"))),
        "rooms": rooms,
        "longest module": max(lines.values()),
        "functions": len(found),
        "median function": statistics.median(lengths),
        "nine of ten functions are under": lengths[int(len(lengths) * 0.9)] + 1,
        "functions of complexity over 10": sum(complexity(function) > COMPLEX for function in found),
        "own-line comments per 1,000 lines": round(1000 * comments / total, 1),
    }.items():
        sys.stdout.write(f"{name:36} {value:>8}\n")


if __name__ == "__main__":
    main()
