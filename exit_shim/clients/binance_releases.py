"""What the python-binance at hand can do, told from its classes; a pin may be older than Binance's rules."""

from typing import Any

from exit_shim.clients.doors import METHODS


def sends_stops_where_accepted(client_class: type, method: str = "futures_create_order") -> bool:
    """Whether conditional orders go to the Algo Service.

    Since 2025-12-09 Binance takes them nowhere else and answers -4120; python-binance sends them there
    since 1.0.33, those of its WebSocket API since 1.0.34. A method of that kind names their ids.
    """
    return "clientAlgoId" in _constants(client_class, method)


def hears_user_stream(manager_class: type) -> bool:
    """Whether the futures user stream is asked for where Binance still sends it.

    Since 2026-04-23 the old address is connected and silent; python-binance has the new one since 1.0.36.
    """
    return any(
        "private/" in _constants(manager_class, method)
        for method in ("futures_user_socket", "futures_socket")
    )


def missing_doors(client_class: type) -> list[str]:
    """The methods of the door table that this client class does not have; older releases have fewer."""
    return sorted(door.method for door in METHODS if not hasattr(client_class, door.method))


def _constants(owner: type, method: str) -> tuple[Any, ...]:
    code = getattr(getattr(owner, method, None), "__code__", None)
    return getattr(code, "co_consts", ())
