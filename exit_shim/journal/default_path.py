"""Where the journal is: where code or environment say, or the platform's default."""

import os
import sys
from pathlib import Path
from typing import Final

JOURNAL_VARIABLE: Final = "EXIT_SHIM_JOURNAL"


def journal_path(given: str | os.PathLike[str] | None = None) -> str:
    """Return the path of the journal, from the code, the environment or the platform."""
    return with_home(given or os.environ.get(JOURNAL_VARIABLE) or default_journal_path())


def with_home(path: str | os.PathLike[str]) -> str:
    """Replace a leading ~ or ~user, which no shell does in env files and service units."""
    # `Path.expanduser` raises where there is no home.
    return os.path.expanduser(os.fspath(path))  # noqa: PTH111


def default_journal_path() -> Path:
    """Return `journal.db` in the state folder; in the temporary folder for a user without a home."""
    try:
        return state_folder() / "journal.db"
    except RuntimeError:
        import tempfile  # noqa: PLC0415 - slow to load, and few users are without a home

        user = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"exit_shim-{user}" / "journal.db"


def state_folder() -> Path:
    """Return the platform's state folder: XDG_STATE_HOME, Application Support or LOCALAPPDATA."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "exit_shim"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "exit_shim"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "exit_shim"
