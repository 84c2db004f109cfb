"""The same doors on python-binance's classes themselves, for bots that make their own clients."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, cast

from exit_shim.clients.doors import DOORS, Door
from exit_shim.clients.import_hook import ImportWatcher, await_ended, settle
from exit_shim.clients.proxy import ANNOTATIONS, _Base, bound_door
from exit_shim.clients.python_binance import is_own_module
from exit_shim.configuration import is_disabled
from exit_shim.gateway.gateway import Gateway
from exit_shim.runtime.reentrancy import ReentrantState
from exit_shim.shim import ExitShim, default_shim

PACKAGE: Final = "binance"
CLIENTS: Final = (
    ("binance", "Client"),
    ("binance", "AsyncClient"),
    # While the package is being imported it has them not yet, and after a reload it has the old ones. In
    # older releases both are in binance.client.
    ("binance.client", "Client"),
    ("binance.client", "AsyncClient"),
    ("binance.async_client", "AsyncClient"),
)


class InstalledDoor(_Base):  # type: ignore[misc]
    """A client class's method, which hands out doors when it is fetched from an instance.

    One that somebody kept, or put back, after the uninstall is the plain method.
    """

    def __init__(self, function: Any, door: Door) -> None:
        super().__init__(function)
        self._self_door = door

    def __get__(self, client: Any, owner: type | None = None) -> Any:
        if client is None:
            return self
        method, gateway = self.__wrapped__.__get__(client, owner), _installed.gateway
        if gateway is None:
            return method
        return bound_door(method, self._self_door, gateway, sys._getframe().f_back)  # noqa: SLF001

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """`Client.futures_create_order(client, ...)`, as subclasses write it."""
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


class InstalledSeam(InstalledDoor):
    """A raw request's door: python-binance's own requests all pass here, and are none of ours."""

    def __get__(self, client: Any, owner: type | None = None) -> Any:
        if client is not None and is_own_module(sys._getframe(1).f_globals.get("__name__")):  # noqa: SLF001
            return self.__wrapped__.__get__(client, owner)
        return super().__get__(client, owner)  # whose own frame in between is skipped


for _class in (InstalledDoor, InstalledSeam):
    _class.__annotations__ = cast("Any", ANNOTATIONS)


class InstallRequest:
    """What one `install` asked for, and how many times over."""

    def __init__(self, shim: ExitShim, doors: Mapping[type, Sequence[Door]], threads: bool) -> None:
        self.shim = shim
        self.doors = {owner: tuple(rows) for owner, rows in doors.items()}
        self.threads = threads
        self.count = 1

    def is_like(self, other: "InstallRequest") -> bool:
        """Whether the other one asks for the same."""
        return self.shim is other.shim and (self.doors, self.threads) == (other.doors, other.threads)


class Place(NamedTuple):
    """A method by the class that has it."""

    owner: type
    name: str


class Installed(ReentrantState):
    """What is on the classes of this process. Of the wishes that hold, the latest is in force."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway: Gateway | None = None
        self._requests: list[InstallRequest] = []
        self._placed: dict[Place, InstalledDoor] = {}
        self._carrying: AbstractContextManager[Any] | None = None
        self._awaited = ImportWatcher(PACKAGE, lambda _module: self._apply())

    def add(self, request: InstallRequest) -> InstallRequest:
        """Let a wish hold; returns it, or the one in force where that is like it."""
        with self._lock:
            latest = self._requests[-1] if self._requests else None
            if latest is not None and latest.is_like(request):
                request = latest
                request.count += 1
            else:
                self._requests.append(request)
            self._awaited.begin()
        with suppress(Exception):  # of an import in another thread, which is told there
            settle(PACKAGE)  # not under the lock: that import may be waiting for it
        self._apply()
        return request

    def drop(self, request: InstallRequest) -> None:
        """Let go of a wish, once it was dropped as often as added."""
        with self._lock:
            request.count -= 1
            if request.count <= 0 and request in self._requests:
                self._requests.remove(request)
            self._apply()

    def clear(self) -> None:
        """Let go of all wishes."""
        with self._lock:
            self._requests.clear()
            self._apply()
        await_ended(PACKAGE)

    def _apply(self) -> None:
        """Bring the classes to what the wishes say; guarded, for it runs amid the bot's imports too."""
        with self._lock:
            latest = self._requests[-1] if self._requests else None
            self.gateway = latest.shim.gateway if latest else None
            try:
                self._place(wanted(self._requests))
                self._carry(any(request.threads for request in self._requests))
            except Exception as error:  # noqa: BLE001
                (latest.shim if latest else default_shim()).internal_errors.report(
                    "install on the classes", error
                )
            if latest is None:
                self._awaited.end()

    def _place(self, rows: Mapping[Place, Door]) -> None:
        for place in self._placed.keys() - rows.keys():
            door = self._placed.pop(place)
            if vars(place.owner).get(place.name) is door:  # else somebody's patch is over it
                setattr(place.owner, place.name, door.__wrapped__)
        for place in rows.keys() - self._placed.keys():
            function, row = vars(place.owner)[place.name], rows[place]
            if issubclass(type(function), InstalledDoor):  # somebody's patch has put an old one back
                function = function.__wrapped__
            if hasattr(type(function), "__get__"):  # else a mock, which gets no `self` either
                door = (InstalledDoor if row.routes is None else InstalledSeam)(function, row)
                self._placed[place] = door
                setattr(place.owner, place.name, door)

    def _carry(self, wanted: bool) -> None:
        if wanted and self._carrying is None:
            from exit_shim.attribution.propagation import carrying_threads  # noqa: PLC0415 - opt-in

            carrying = carrying_threads()
            carrying.__enter__()
            self._carrying = carrying
        elif not wanted and self._carrying is not None:
            ended, self._carrying = self._carrying, None
            ended.__exit__(None, None, None)


def wanted(requests: Sequence[InstallRequest]) -> dict[Place, Door]:
    """Which methods are to be doors: python-binance's, and those declared for classes of the bot's own."""
    if not requests:
        return {}
    rows = {
        Place(owner, door.method): door
        for client in clients()
        for owner in client.__mro__[:-1]
        for door in DOORS
        if door.method in vars(owner)
    }
    for request in requests:
        for adapter, doors in request.doors.items():
            for door in doors:
                owner = next((owner for owner in adapter.__mro__ if door.method in vars(owner)), None)
                if owner is not None:
                    rows[Place(owner, door.method)] = door
    return rows


def clients() -> list[type]:
    """Python-binance's client classes, as far as they are imported."""
    found = (getattr(sys.modules.get(module), name, None) for module, name in CLIENTS)
    return list(dict.fromkeys(one for one in found if type(one) is type))


_installed: Final = Installed()


class Installation:
    """What `install` returns: as a context manager it ends with its block, else with `uninstall`."""

    def __init__(self, request: InstallRequest) -> None:
        self._request = request
        self._held: InstallRequest | None = None if is_disabled() else _installed.add(request)

    def __enter__(self) -> ExitShim:
        return self._request.shim

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        if held is not None:
            _installed.drop(held)


def install(
    *,
    shim: ExitShim | None = None,
    threads: bool = False,
    doors: Mapping[type, Sequence[Door]] | None = None,
) -> Installation:
    """Cover every python-binance client of this process: made before or after, anywhere, by any subclass.

    The doors are put on the classes themselves. If python-binance is not imported yet, this happens when it
    is. Installing twice is installing once, of two shims the latest is in force, and a client that is wrapped
    as well is recorded once. `uninstall`, or the end of a `with` block around this call, puts the classes'
    own methods back. With EXIT_SHIM_DISABLED=1 nothing happens.

    Args:
        shim: The configuration to use; None for the process-wide one.
        threads: Whether `Thread`, `Timer` and the standard library's pools of threads (`ThreadPoolExecutor`,
            with it `asyncio.to_thread` and `run_in_executor`, and `multiprocessing.pool.ThreadPool`) carry
            the attribution of who started the work along.
        doors: Methods of the bot's own classes that place, change or cancel orders, by class.

    Returns:
        A context manager whose `with` gives the shim.
    """
    chosen = shim or default_shim()
    if not is_disabled():
        chosen.begin()
    return Installation(InstallRequest(chosen, doors or {}, threads))


def uninstall() -> None:
    """Put every class back to what it was before the first `install`; what was never installed stays."""
    _installed.clear()
