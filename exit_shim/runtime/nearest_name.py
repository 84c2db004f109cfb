"""Suggest the right name for a mistyped one."""

import difflib
from collections.abc import Collection


def did_you_mean(name: object, names: Collection[str]) -> str:
    """Return " (did you mean X?)" with the nearest existing name, or "" where none is near."""
    near = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
