"""Find and read the source files of a bot: Python, notebooks, its settings, and what had to be left out."""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import json
import os
import sys
import tokenize
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import msgspec

SKIPPED_FOLDERS: Final = frozenset(
    {
        *("__pycache__", "node_modules", "site-packages", "dist-packages", "venv", "env", "virtualenv"),
        *("build", "dist"),
    }
)
"""Folders whose code is not the bot's; those whose name begins with a dot are skipped too."""

TESTS: Final = frozenset({"test", "tests"})
"""Folders whose code sends to stand-ins; they are named among what is left out."""

MOST_BYTES: Final = 4 * 1024 * 1024
"""The largest file that is read: no person writes more code into one."""

NOTEBOOK: Final = ".ipynb"

CODE: Final = frozenset({".py", ".pyw", NOTEBOOK})

SETTINGS: Final = frozenset({".json", ".yaml", ".yml", ".toml", ".ini", ".cfg"})
"""The ends of files that say how a bot trades; a `.env`, which holds keys, is not opened."""

MOST_SETTINGS: Final = 200
MOST_BYTES_OF_SETTINGS: Final = 256 * 1024
"""How many files of settings are read, and the largest; others are data."""


class SourceFile(msgspec.Struct, frozen=True):
    """Hold one file of the bot.

    Attributes:
        path: Where it is.
        name: Its path below the scanned folder, with slashes.
        module: The dotted name under which the bot imports it.
        text: The code; of a notebook that of its code cells.
        tree: The code parsed; None where this Python cannot parse it.
        problem: Why it cannot be parsed; None where it can.
    """

    path: Path
    name: str
    module: str
    text: str
    tree: ast.Module | None
    problem: str | None = None


class LeftOut(msgspec.Struct, frozen=True):
    """Name a file or folder that was not read, and say why."""

    name: str
    reason: str


def read_sources(root: Path) -> tuple[list[SourceFile], list[LeftOut]]:
    """Return the source files of a file or folder in the order of their names, and what was left out."""
    sources: list[SourceFile] = []
    left_out: list[LeftOut] = []
    base = root if root.is_dir() else root.parent
    for path in _list_paths(root, left_out, CODE):
        name = path.relative_to(base).as_posix()
        try:
            text = _read_text(path)
        except (OSError, SyntaxError, UnicodeError, ValueError) as error:
            left_out.append(LeftOut(name, _reason_of(error)))
            continue
        sources.append(_parse(path, name, text))
    return sources, left_out


def has_more_files(root: Path, number: int) -> bool:
    """Return whether a folder has more source files than this number."""
    return next(itertools.islice(_list_paths(root, [], CODE), number, None), None) is not None


def read_settings(root: Path) -> list[str]:
    """Return the texts of the files of settings below a folder; what cannot be read is passed over."""
    texts: list[str] = []
    paths = _list_paths(root, [], SETTINGS) if root.is_dir() else iter(())
    for path in itertools.islice(paths, MOST_SETTINGS):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_size <= MOST_BYTES_OF_SETTINGS:
                texts.append(path.read_text(encoding="utf-8", errors="replace"))
    return texts


def _list_paths(root: Path, left_out: list[LeftOut], suffixes: Collection[str]) -> Iterator[Path]:
    if not root.is_dir():
        yield root
        return
    # A link to a folder may lead back up; a file is read once, under the first of its names.
    seen: set[Path] = set()
    for folder, folders, files in os.walk(
        root, onerror=lambda error: left_out.append(_unreadable_folder(error, root))
    ):
        here = Path(folder)
        left_out.extend(_tests(here / name, root) for name in sorted(folders) if name in TESTS)
        folders[:] = sorted(name for name in folders if _is_of_the_bot(here / name))
        for name in sorted(files):
            path = here / name
            if path.suffix not in suffixes:
                continue
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield path


def _is_of_the_bot(folder: Path) -> bool:
    name = folder.name
    return not (name.startswith(".") or name in SKIPPED_FOLDERS | TESTS or (folder / "pyvenv.cfg").exists())


def _tests(folder: Path, root: Path) -> LeftOut:
    return LeftOut(folder.relative_to(root).as_posix(), "tests are not the bot's own orders")


def _unreadable_folder(error: OSError, root: Path) -> LeftOut:
    name = os.path.relpath(error.filename or root, root)
    return LeftOut(name, f"the folder cannot be read: {error.strerror or error}")


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise ValueError("it is not a regular file")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size / 1e6:.0f} MB; at most {MOST_BYTES / 1e6:.0f} MB are read")
    data = path.read_bytes()
    if path.suffix == NOTEBOOK:
        return _code_of_notebook(data)
    if b"\0" in data:
        raise ValueError("it is binary: it has NUL bytes")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    # Line ends as Python counts them, so that line numbers are those of an editor.
    return data.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")


def _code_of_notebook(data: bytes) -> str:
    """Return the code cells of a notebook, with the lines of its magic commands made empty."""
    notebook = json.loads(data)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        # As of every file that is not what its name says.
        raise ValueError("it is not a notebook: it has no cells")  # noqa: TRY004
    lines: list[str] = []
    for cell in cells:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source") or ""
            text = source if isinstance(source, str) else "".join(source)
            lines += ["" if line.lstrip().startswith(("%", "!")) else line for line in text.split("\n")]
    return "\n".join(lines)


def _reason_of(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or error}"
    if isinstance(error, json.JSONDecodeError):
        return "it is not a notebook: its JSON is broken"
    if isinstance(error, (SyntaxError, UnicodeError)):
        return f"its encoding cannot be read: {error}"
    return str(error)


def _parse(path: Path, name: str, text: str) -> SourceFile:
    module = ".".join(part for part in Path(name).with_suffix("").parts if part != "__init__")
    try:
        # What the bot's code would warn about is not ours to show.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        what = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        version = ".".join(map(str, sys.version_info[:2]))
        return SourceFile(path, name, module, text, None, f"Python {version} cannot parse it: {what}{where}")
    return SourceFile(path, name, module, text, tree)
