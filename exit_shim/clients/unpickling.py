"""Wrap and bridge clients that were pickled, with the process-wide shim of the process where they arrive."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from exit_shim.domain.doors import Door

if TYPE_CHECKING:
    from exit_shim.shim import ExitShim

C = TypeVar("C")


def shim_here() -> "ExitShim | None":
    """Return the process-wide shim, which a pickle cannot bring along; None where EXIT_SHIM_DISABLED is 1."""
    # The shim is made of this room's parts, and is needed only when something arrives.
    from exit_shim.configuration import is_disabled  # noqa: PLC0415
    from exit_shim.shim import default_shim  # noqa: PLC0415

    return None if is_disabled() else default_shim()


def wrap_unpickled(client: C, doors: Sequence[Door] = ()) -> C:
    """Wrap a client that was pickled as a proxy."""
    shim = shim_here()
    return client if shim is None else shim.wrap(client, doors=doors)


def bridge_unpickled(client: Any) -> Any:
    """Bridge a client that was pickled as a bridged one."""
    shim = shim_here()
    return client if shim is None else shim.bridged(client)
