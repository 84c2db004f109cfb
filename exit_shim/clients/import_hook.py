"""To be told when a package has been imported, without importing it."""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast


class ImportWatcher:
    """Tells of each import of a package and of its modules, while it is first in `sys.meta_path`.

    A finder by its method alone: `importlib.abc` takes ten times as long to load as all of this, and every
    process may (see `exit_shim.auto`).

    Args:
        package: The package's name.
        arrived: Called with the name of a module when that has been imported. It must not raise: it runs
            inside the bot's import statement.
    """

    def __init__(self, package: str, arrived: Callable[[str], None]) -> None:
        self.package = package
        self._arrived = arrived

    def begin(self) -> None:
        """Tell from now on."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Tell no longer, of imports under way neither."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def tell(self, name: str) -> None:
        """A module has been imported."""
        if self in sys.meta_path:
            self._arrived(name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find for a module of the package; None for any other."""
        if fullname.partition(".")[0] != self.package:
            return None
        for finder in [other for other in sys.meta_path if type(other) is not ImportWatcher]:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = cast("Any", _Telling(spec.loader, self))
                return spec
        return None


class _Telling:
    """A module's own loader, which takes its place again before the module's code runs."""

    def __init__(self, own: Any, awaited: ImportWatcher) -> None:
        self._own = own
        self._awaited = awaited

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._own.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        self._own.exec_module(module)
        self._awaited.tell(module.__name__)


def await_ended(package: str) -> None:
    """Have nobody told of `package` any longer."""
    for finder in list(sys.meta_path):
        if isinstance(finder, ImportWatcher) and finder.package == package:
            finder.end()


def settle(package: str) -> None:
    """Wait for a package that another thread is just importing; what nobody imports stays unimported."""
    if sys.modules.get(package) is not None:
        importlib.import_module(package)
