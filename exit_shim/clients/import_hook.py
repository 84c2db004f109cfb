"""Waiting for a package to be imported, without importing it."""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast


class ImportWatcher:
    """Report each import of a package and of its modules, while the watcher is first in `sys.meta_path`.

    Args:
        package: The package's name.
        on_import: Called with the name of a module when that has been imported. It must not raise: it runs
            inside the bot's import statement.
    """

    # A finder by its method alone: `importlib.abc` takes ten times as long to load as all of this, and every
    # process may load this (see `exit_shim.auto`).

    def __init__(self, package: str, on_import: Callable[[str], None]) -> None:
        self.package = package
        self._on_import = on_import

    def start(self) -> None:
        """Report imports from now on."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Report no more imports, not even those under way."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def report(self, name: str) -> None:
        """Report that a module has been imported."""
        if self in sys.meta_path:
            self._on_import(name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the other finders give a module of the package; None for any other module."""
        if fullname.partition(".")[0] != self.package:
            return None
        for finder in [other for other in sys.meta_path if type(other) is not ImportWatcher]:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = cast("Any", _ReportingLoader(spec.loader, self))
                return spec
        return None


class _ReportingLoader:
    """Load a module with its own loader, which takes its place again before the module's code runs."""

    def __init__(self, loader: Any, watcher: ImportWatcher) -> None:
        self._loader = loader
        self._watcher = watcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._watcher.report(module.__name__)


def stop_watching(package: str) -> None:
    """Stop every watcher of a package."""
    for finder in list(sys.meta_path):
        if isinstance(finder, ImportWatcher) and finder.package == package:
            finder.stop()


def wait_for_import(package: str) -> None:
    """Wait for a package that another thread is just importing; what nobody imports stays unimported."""
    if sys.modules.get(package) is not None:
        importlib.import_module(package)
