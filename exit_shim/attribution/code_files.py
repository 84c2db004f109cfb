"""Code files: whether one is the bot's own or a library's, and what to call its module. Pure."""

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
"""The names of the program; multiprocessing's spawn imports its file once more, under the second one."""

PACKAGE_FOLDER: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120
"""The folder of exit_shim itself."""

LIBRARIES: Final = frozenset(
    {"aiohttp", "binance", "msgspec", "requests", "structlog", "urllib3", "websockets", "wrapt"}
)
"""The packages that exit_shim and python-binance depend on; foreign wherever they lie."""

# In a frozen app all files have names without a folder; these packages call what they are given.
WITHOUT_FOLDER: Final = LIBRARIES | {"apscheduler", "backoff", "decorator", "retry", "retrying", "tenacity"}
"""The packages that are foreign by their name alone."""


def is_foreign(filename: str, dotted: str = "") -> bool:
    """Return True for the standard library, installed packages and exit_shim itself."""
    frozen = filename.startswith("<frozen ")
    package = (filename[len("<frozen ") : -1] if frozen else dotted).partition(".")[0]
    if package in LIBRARIES:
        return True
    if (frozen or not (filename.startswith("<") or os.path.isabs(filename))) and (  # noqa: PTH117
        package in sys.stdlib_module_names or package in WITHOUT_FOLDER
    ):
        return True
    path = filename.replace("\\", "/")
    return filename.startswith(_foreign_roots()) or "/site-packages/" in path or "/dist-packages/" in path


@functools.lru_cache(maxsize=1)
def _foreign_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.update({site.getusersitepackages(), os.path.dirname(os.__file__), PACKAGE_FOLDER})  # noqa: PTH120
    return tuple(root.rstrip(os.sep) + os.sep for root in roots)


def matches(patterns: Collection[str], dotted: str, filename: str) -> bool:
    """Return whether a pattern fits a module: its dotted name, a package that it is in, or its file.

    A `*` is as in fnmatch. `trader` and `trader.*` fit the module `trader.risk`; `*/strategies/*.py` fits
    files, with `/` on every platform.
    """
    path = filename.replace("\\", "/")
    return any(
        dotted.startswith(f"{pattern}.") or fnmatchcase(dotted, pattern) or fnmatchcase(path, pattern)
        for pattern in patterns
    )


def short_name(dotted: str, filename: str) -> str:
    """Shorten `backend.services.position_monitor` to `position_monitor`; name a script by its file."""
    name = dotted.rpartition(".")[2]
    if name not in MAINS:
        return name
    path = Path(filename)
    return path.parent.name if path.stem == "__main__" else path.stem


def is_worker() -> bool:
    """Return whether multiprocessing started this process by a command line of its own."""
    # Python 3.14 has `import sys; ` in front of it.
    return any(
        re.search(r"\bfrom multiprocessing\.\w+ import (spawn_)?main\b", word) for word in sys.orig_argv
    )


def is_notebook(filename: str) -> bool:
    """Return whether a file is a notebook's cell: IPython's name for it, or ipykernel's temporary file."""
    return filename.startswith("<ipython-input-") or bool(
        re.search(r"[\\/]ipykernel_\d+[\\/]\d+\.py$", filename)
    )


def notebook(names: Mapping[str, Any]) -> str:
    """Return the notebook's name as VS Code or Jupyter pass it to the kernel, else "notebook"."""
    file = names.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return Path(file).stem if isinstance(file, str) else "notebook"


def plain_text(value: object) -> str:
    """Return the text of `value` as UTF-8 can hold it: a file name may carry bytes that are none."""
    if type(value) is str and value.isascii():
        return value
    try:
        text = str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 - a name that cannot be read is replaced by its type
        text = f"<{type(value).__name__}>"
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
