"""Load the modules behind a package's names when they are first used (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def on_first_use(package: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """Return a `__getattr__` for `package` that loads names on first use.

    Args:
        package: The package's `__name__`.
        homes: Modules by their full names, each with the names that it provides.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(home_of[name])
        value = (
            getattr(module, name)
            if hasattr(module, name)
            else importlib.import_module(f"{home_of[name]}.{name}")
        )
        setattr(sys.modules[package], name, value)
        return value

    return load
