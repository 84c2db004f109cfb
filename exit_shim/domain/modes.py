"""Read EXIT_MODE: who is meant to own the exits. Pure."""

from collections.abc import Collection
from typing import Final, NamedTuple

LEGACY: Final = "LEGACY"
EXIT_BRAIN_V3: Final = "EXIT_BRAIN_V3"
MODES: Final = (LEGACY, EXIT_BRAIN_V3)

MODE_VARIABLE: Final = "EXIT_MODE"
BRAIN_FLAG_VARIABLE: Final = "EXIT_BRAIN_V3_ENABLED"

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class ResolvedMode(NamedTuple):
    """Hold the mode in force, and the problems of the values that it came from."""

    mode: str
    problems: tuple[str, ...]


def resolve_mode(written: str | None, brain_flag: str | None, modes: Collection[str] = MODES) -> ResolvedMode:
    """Read EXIT_MODE, and compare it with EXIT_BRAIN_V3_ENABLED; anything invalid is LEGACY."""
    problems = []
    mode = (written or LEGACY).strip().upper() or LEGACY
    if mode not in modes:
        problems.append(
            f"{MODE_VARIABLE}={written!r} is no mode; it must be one of {', '.join(modes)}. Using {LEGACY}."
        )
        mode = LEGACY
    flag = (brain_flag or "").strip().lower()
    if (flag in _TRUE and mode == LEGACY) or (flag in _FALSE and mode == EXIT_BRAIN_V3):
        problems.append(
            f"configuration mismatch: {MODE_VARIABLE}={mode} but {BRAIN_FLAG_VARIABLE}={brain_flag}. "
            f"{MODE_VARIABLE} decides; set both to agree."
        )
    return ResolvedMode(mode, tuple(problems))
