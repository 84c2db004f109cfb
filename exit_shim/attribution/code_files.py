"""Whose code a file is: the bot's own or a library's, and what to call it. Pure."""

import functools
import os
import re
import site
import sys
import sysconfig
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

MAINS: Final = ("__main__", "__mp_main__")
"""The program; under multiprocessing's spawn its file is imported once more, under the second name."""


LIBRARIES: Final = frozenset(
    {"aiohttp", "binance", "msgspec", "requests", "structlog", "urllib3", "websockets", "wrapt"}
)
"""What this package and python-binance rest on: foreign wherever it lies, such as beside the bot."""


WITHOUT_A_PLACE: Final = LIBRARIES | {"apscheduler", "backoff", "decorator", "retry", "retrying", "tenacity"}
"""In a frozen app all files have names without a folder to tell them by; these call what they are given."""


def is_foreign(filename: str, dotted: str = "") -> bool:
    """True for the standard library, installed packages and exit_shim itself."""
    frozen = filename.startswith("<frozen ")
    package = (filename[len("<frozen ") : -1] if frozen else dotted).partition(".")[0]
    if package in LIBRARIES:
        return True
    if (frozen or not (filename.startswith("<") or os.path.isabs(filename))) and (  # noqa: PTH117
        package in sys.stdlib_module_names or package in WITHOUT_A_PLACE
    ):
        return True
    parts = filename.replace("\\", "/")
    return filename.startswith(_foreign_roots()) or "/site-packages/" in parts or "/dist-packages/" in parts


@functools.lru_cache(maxsize=1)
def _foreign_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.update((site.getusersitepackages(), os.path.dirname(os.__file__)))  # noqa: PTH120
    roots.add(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120
    return tuple(root.rstrip(os.sep) + os.sep for root in roots)


def matches(patterns: Collection[str], dotted: str, filename: str) -> bool:
    """Whether a module is meant: by its dotted name, a package that it is in, or its file; `*` as in fnmatch.

    `trader` and `trader.*` mean the module `trader.risk`; `*/strategies/*.py` means files, with `/` on
    every platform.
    """
    path = filename.replace("\\", "/")
    return any(
        dotted.startswith(f"{pattern}.") or fnmatchcase(dotted, pattern) or fnmatchcase(path, pattern)
        for pattern in patterns
    )


def short_name(dotted: str, filename: str) -> str:
    """`backend.services.position_monitor` → `position_monitor`; a script or package main by its file."""
    name = dotted.rpartition(".")[2]
    if name not in MAINS:
        return name
    path = Path(filename)
    return path.parent.name if path.stem == "__main__" else path.stem


def is_worker() -> bool:
    """Whether multiprocessing started this process by a command line of its own."""
    # Python 3.14 has `import sys; ` in front of it.
    return any(
        re.search(r"\bfrom multiprocessing\.\w+ import (spawn_)?main\b", word) for word in sys.orig_argv
    )


def is_notebook(filename: str) -> bool:
    """A cell's text, under IPython's name for it or in ipykernel's temporary file."""
    return filename.startswith("<ipython-input-") or bool(
        re.search(r"[\\/]ipykernel_\d+[\\/]\d+\.py$", filename)
    )


def notebook(names: Mapping[str, Any]) -> str:
    """The notebook's name as VS Code or Jupyter tell it to the kernel, else "notebook"."""
    told = names.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return Path(told).stem if isinstance(told, str) else "notebook"


def plain_text(value: object) -> str:
    """The text of `value` as UTF-8 can hold it: a file name may carry bytes that are none."""
    if type(value) is str and value.isascii():
        return value
    try:
        text = str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 - a name that cannot be told is told by its type
        text = f"<{type(value).__name__}>"
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
