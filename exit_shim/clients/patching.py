"""Doors on the client classes themselves, for bots that make their own clients."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from exit_shim.clients.import_hook import ImportWatcher, stop_watching, wait_for_import
from exit_shim.clients.packages import PACKAGES, TRANSPORTS
from exit_shim.clients.proxy import ANNOTATIONS, BaseProxy, CallHandler
from exit_shim.clients.raw_http import RAW_HTTP, is_transport_module
from exit_shim.clients.raw_requests import bind_request, is_inner_module
from exit_shim.clients.registry import SUPPORTED
from exit_shim.clients.seams import bind, doors_of
from exit_shim.clients.support import ClientSupport
from exit_shim.clients.twins import IS_DOOR
from exit_shim.domain.doors import Door
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.reentrancy import ReentrantState


class InstalledDoor(BaseProxy):  # type: ignore[misc]
    """Stand for a client class's method: fetched from an instance, it is a door.

    After the uninstall, one that somebody kept or put back is the plain method.
    """

    _self_bind = staticmethod(bind)

    def __init__(self, function: Any, door: Door) -> None:
        super().__init__(function)
        self._self_door = door

    def __get__(self, client: Any, owner: type | None = None) -> Any:
        if client is None:
            return self
        method, gateway = self.__wrapped__.__get__(client, owner), _patches.gateway
        if gateway is None:
            return method
        return self._self_bind(method, self._self_door, gateway, sys._getframe().f_back)  # noqa: SLF001

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method as subclasses do: `Client.futures_create_order(client, ...)`."""
        if not args:
            return self.__wrapped__(**kwargs)
        return self.__get__(args[0], type(args[0]))(*args[1:], **kwargs)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __copy__(self) -> "InstalledDoor":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "InstalledDoor":
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__qualname__  # as functions are pickled: by name


setattr(InstalledDoor, IS_DOOR, True)


class InstalledRawRequest(InstalledDoor):
    """Stand for a raw request's method, through which a library sends all its own requests too."""

    def __get__(self, client: Any, owner: type | None = None) -> Any:
        # The library's own requests are not doors, nor are the bridge's; the frame of this method is skipped
        # further on.
        frame = sys._getframe().f_back  # noqa: SLF001 - none where C fetches it
        if client is not None and frame is not None and is_inner_module(frame.f_globals.get("__name__")):
            return self.__wrapped__.__get__(client, owner)
        return super().__get__(client, owner)


class InstalledTransport(InstalledDoor):
    """Stand for a transport's method, through which the client libraries send as well."""

    _self_bind = staticmethod(bind_request)


for _class in (InstalledDoor, InstalledRawRequest, InstalledTransport):
    _class.__annotations__ = cast("Any", ANNOTATIONS)


class ClassMethod(NamedTuple):
    """Name a method by the class that has it."""

    owner: type
    name: str


Replacements: TypeAlias = Mapping[ClassMethod, Callable[..., Any]]


class Replaced(NamedTuple):
    """A method that was replaced on a class, and what the class itself had there."""

    function: Callable[..., Any]
    before: Any


INHERITED: Final = object()
"""Stands for the method of a class that had none of its own."""


class Shim(Protocol):
    """Provide what the doors on the classes need of a shim."""

    @property
    def gateway(self) -> CallHandler:
        """Return what carries out the calls."""

    @property
    def internal_errors(self) -> InternalErrors:
        """Return what takes the failures in here."""


S = TypeVar("S", bound=Shim)


class InstallRequest:
    """Hold what one `install` asked for, and how often.

    Args:
        shim: Takes the calls.
        doors: Doors of the bot's own classes.
        threads: Whether threads and pools carry who asked.
        replacements: Returns the methods to replace beneath the doors; None for none.
        raw: Whether raw requests are covered.
    """

    def __init__(
        self,
        shim: Shim,
        doors: Mapping[type, Sequence[Door]],
        threads: bool,
        replacements: Callable[[], Replacements] | None = None,
        raw: bool = False,
    ) -> None:
        self.shim = shim
        self.raw = raw
        self.replacements = replacements
        self.doors = {owner: tuple(rows) for owner, rows in doors.items()}
        self.threads = threads
        self.count = 1

    def is_like(self, other: "InstallRequest") -> bool:
        """Return whether another request asks for the same."""
        mine = self.doors, self.threads, self.replacements, self.raw
        others = other.doors, other.threads, other.replacements, other.raw
        return self.shim is other.shim and mine == others


class Patches(ReentrantState):
    """Keep the classes of this process as the open requests ask; of several the latest is in force."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway: CallHandler | None = None
        self._requests: list[InstallRequest] = []
        self._doors: dict[ClassMethod, InstalledDoor] = {}
        self._inherited: set[ClassMethod] = set()
        self._replaced: dict[ClassMethod, Replaced] = {}
        self._lasting: Callable[[], Replacements] | None = None
        self._propagation: AbstractContextManager[Any] | None = None
        self._internal_errors: InternalErrors | None = None
        packages = (*PACKAGES, *TRANSPORTS)
        self._watchers = [ImportWatcher(package, self._on_import) for package in packages]

    def _on_import(self, module: str) -> None:
        # ccxt has hundreds of modules; three of them have classes of interest.
        if module in PACKAGES or any(library.owns_class(module) for library in (*SUPPORTED, *RAW_HTTP)):
            self._apply()

    def add(self, request: InstallRequest) -> InstallRequest:
        """Add a request; returns it, or the one in force where that asks for the same."""
        with self._lock:
            latest = self._requests[-1] if self._requests else None
            if latest is not None and latest.is_like(request):
                request = latest
                request.count += 1
            else:
                self._requests.append(request)
            packages = (*PACKAGES, *TRANSPORTS) if request.raw else PACKAGES
            for watcher in self._watchers:
                if watcher.package in packages:
                    watcher.start()
        for package in packages:
            with suppress(Exception):  # an error of an import in another thread is raised there
                wait_for_import(package)  # not under the lock: that import may be waiting for it
        self._apply()
        return request

    def drop(self, request: InstallRequest) -> None:
        """Drop a request, once it was dropped as often as it was added."""
        with self._lock:
            request.count -= 1
            if request.count <= 0 and request in self._requests:
                self._requests.remove(request)
            self._apply()

    def clear(self) -> None:
        """Drop all requests."""
        with self._lock:
            self._requests.clear()
            self._apply()
        for package in (*PACKAGES, *TRANSPORTS):
            stop_watching(package)

    def replace(self, lasting: Callable[[], Replacements]) -> None:
        """Replace methods that stay so after an uninstall: clients that were wrapped need them."""
        with self._lock:
            self._lasting = lasting
        self._apply()

    def _apply(self) -> None:
        """Bring the classes to what the requests ask for; never raises, for the bot's imports call it too."""
        with self._lock:
            latest = self._requests[-1] if self._requests else None
            self.gateway = latest.shim.gateway if latest else None
            self._internal_errors = latest.shim.internal_errors if latest else self._internal_errors
            try:
                self._replace(wanted_methods(self._requests, self._lasting))
                self._patch(wanted_doors(self._requests))
                self._propagate(any(request.threads for request in self._requests))
            except Exception as error:  # noqa: BLE001
                if self._internal_errors is not None:  # else nothing was ever installed
                    self._internal_errors.report("install on the classes", error)
            if latest is None:
                for watcher in self._watchers:
                    watcher.stop()

    def _patch(self, wanted: Mapping[ClassMethod, Door]) -> None:
        for method in self._doors.keys() - wanted.keys():
            door = self._doors.pop(method)
            if vars(method.owner).get(method.name) is not door:  # somebody's patch is over it
                continue
            if method in self._inherited:
                self._inherited.discard(method)
                delattr(method.owner, method.name)
            else:
                setattr(method.owner, method.name, door.__wrapped__)
        for method in wanted.keys() - self._doors.keys():
            self._patch_one(method, wanted[method])

    def _replace(self, wanted: Replacements) -> None:
        """Replace methods of the classes, and put back those that are not wanted any more."""
        if wanted == {method: replaced.function for method, replaced in self._replaced.items()}:
            return
        # The doors stand on top of what is replaced.
        self._patch({})
        for method in [each for each, old in self._replaced.items() if wanted.get(each) is not old.function]:
            put_back(method, self._replaced.pop(method))
        for method in wanted.keys() - self._replaced.keys():
            before = vars(method.owner).get(method.name, INHERITED)
            self._replaced[method] = Replaced(wanted[method], before)
            setattr(method.owner, method.name, wanted[method])

    def _patch_one(self, method: ClassMethod, row: Door) -> None:
        function = inspect.getattr_static(method.owner, method.name)
        is_inherited = method.name not in vars(method.owner)
        if issubclass(type(function), InstalledDoor):  # somebody's patch has put an old one back
            function = function.__wrapped__
        if hasattr(type(function), "__get__"):  # else a mock, which gets no `self` either
            door = door_class(method.owner, row)(function, row)
            self._doors[method] = door
            if is_inherited:
                self._inherited.add(method)
            setattr(method.owner, method.name, door)

    def _propagate(self, is_wanted: bool) -> None:
        """Have threads and pools carry who asked, or have them stop."""
        if is_wanted and self._propagation is None:
            from exit_shim.attribution.propagation import carrying_threads  # noqa: PLC0415 - opt-in

            propagation = carrying_threads()
            propagation.__enter__()
            self._propagation = propagation
        elif not is_wanted and self._propagation is not None:
            ended, self._propagation = self._propagation, None
            ended.__exit__(None, None, None)


def door_class(owner: type, row: Door) -> type[InstalledDoor]:
    """Return what stands for a method of a class."""
    if row.routes is not None:
        return InstalledRawRequest
    return InstalledTransport if is_transport_module(owner.__module__) else InstalledDoor


def wanted_doors(requests: Sequence[InstallRequest]) -> dict[ClassMethod, Door]:
    """Return the methods to patch: the libraries' doors, and those declared for classes of the bot's own."""
    if not requests:
        return {}
    raw = RAW_HTTP if any(request.raw for request in requests) else ()
    rows = library_doors((*SUPPORTED, *raw))
    for request in requests:
        for adapter, doors in request.doors.items():
            for door in doors:
                owner = next((owner for owner in adapter.__mro__ if door.method in vars(owner)), None)
                if owner is not None:
                    # A library's own door knows more than one that was declared for the same method.
                    rows.setdefault(ClassMethod(owner, door.method), door)
    return rows


def wanted_methods(
    requests: Sequence[InstallRequest], lasting: Callable[[], Replacements] | None
) -> Replacements:
    """Return the methods to replace: those of the latest request that has some, and those that last."""
    latest = next((each.replacements for each in reversed(requests) if each.replacements), None)
    return {**(lasting() if lasting else {}), **(latest() if latest else {})}


def put_back(method: ClassMethod, replaced: Replaced) -> None:
    """Give a class back what it had; what somebody put over ours stays."""
    if vars(method.owner).get(method.name) is not replaced.function:
        return
    if replaced.before is INHERITED:
        delattr(method.owner, method.name)
    else:
        setattr(method.owner, method.name, replaced.before)


def library_doors(libraries: Sequence[ClientSupport] = SUPPORTED) -> dict[ClassMethod, Door]:
    """Return the doors of the client libraries, as far as their classes are imported."""
    return {
        method: door
        for library in libraries
        for client in library.client_classes()
        for door in doors_of(library, client)
        for method in methods_of(library, client, door.method)
    }


def methods_of(library: ClientSupport, client: type, name: str) -> list[ClassMethod]:
    """Return where a client class has a method: each class of the library that defines it.

    Where another package's class defines it, of which others inherit too, it is the client class itself.
    """
    owners = [owner for owner in client.__mro__[:-1] if name in vars(owner)]
    own = [owner for owner in owners if library.owns_class(owner.__module__)]
    return [ClassMethod(owner, name) for owner in own or ([client] if owners else [])]


_patches: Final = Patches()


def replace_methods(lasting: Callable[[], Replacements]) -> None:
    """Replace methods of the libraries' classes from now on, whatever is installed."""
    _patches.replace(lasting)


class Installation(Generic[S]):
    """End an install with a `with` block, or leave it to `uninstall`.

    Args:
        shim: The shim that takes the calls; what `with` gives.
        request: What to install; None where nothing is to happen.
    """

    def __init__(self, shim: S, request: InstallRequest | None) -> None:
        self._shim = shim
        self._request = None if request is None else _patches.add(request)

    def __enter__(self) -> S:
        return self._shim

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        request, self._request = self._request, None
        if request is not None:
            _patches.drop(request)


def uninstall() -> None:
    """Put every class back to what it was before the first `install`; what was never installed stays."""
    _patches.clear()
