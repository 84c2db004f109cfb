"""The same doors on python-binance's classes themselves, for bots that make their own clients."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from exit_shim.doors import DOORS, Door
from exit_shim.gateway import Gateway
from exit_shim.proxy import _Base, bound_door


class InstalledDoor(_Base):  # type: ignore[misc]
    """A client class's method, which hands out doors when it is fetched from an instance."""

    def __init__(self, function: Any, door: Door, gateway: Gateway) -> None:
        super().__init__(function)
        self._self_door = door
        self._self_gateway = gateway

    def __get__(self, client: Any, owner: type | None = None) -> Any:
        if client is None:
            return self
        method = self.__wrapped__.__get__(client, owner)
        return bound_door(method, self._self_door, self._self_gateway, sys._getframe())  # noqa: SLF001

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """`Client.futures_create_order(client, ...)`, as subclasses write it."""
        if not args:
            return self.__wrapped__(**kwargs)
        return self.__get__(args[0], type(args[0]))(*args[1:], **kwargs)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


@contextlib.contextmanager
def installed(gateway: Gateway) -> Iterator[None]:
    """Every client of python-binance, made before or inside, goes through `gateway`; exactly undone after."""
    from binance.async_client import AsyncClient  # noqa: PLC0415 - heavy, and only `run` needs it
    from binance.client import Client  # noqa: PLC0415

    owners = dict.fromkeys((*Client.__mro__[:-1], *AsyncClient.__mro__[:-1]))
    with contextlib.ExitStack() as undo:
        for owner in owners:
            for door in DOORS:
                function = vars(owner).get(door.method)
                if function is not None:
                    setattr(owner, door.method, InstalledDoor(function, door, gateway))
                    undo.callback(setattr, owner, door.method, function)
        yield
