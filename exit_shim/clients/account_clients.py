"""Remember a client of each account, to ask the exchange with where a call is raw HTTP and has none."""

import contextlib
import weakref
from typing import Any, NamedTuple

from exit_shim.clients.accounts import label_of
from exit_shim.clients.raw_http import RAW_HTTP
from exit_shim.clients.registry import can_be_cloned


def is_session(client: Any) -> bool:
    """Return whether a client is a transport's session, which shows neither methods nor a secret."""
    modules = [base.__module__ for base in type(client).__mro__]
    return any(library.owns_class(module) for library in RAW_HTTP for module in modules)


class RememberedClient(NamedTuple):
    """Hold a client, and the label that its key and address gave it."""

    ref: "weakref.ref[Any]"
    label: str | None


class AccountClients:
    """Remember the clients that can be cloned, by their account's label, for as long as the bot has them."""

    def __init__(self) -> None:
        # Without a lock: one store and one look-up, each of them atomic.
        self._clients: dict[str, RememberedClient] = {}

    def remember(self, client: Any, account: str | None) -> None:
        """Remember a client, given without its proxy, if it can be cloned."""
        if account is not None and can_be_cloned(client):
            with contextlib.suppress(TypeError):  # its class allows no weak references
                self._clients[account] = RememberedClient(weakref.ref(client), label_of(client))

    def asking(self, client: Any, account: str | None) -> Any:
        """Return the remembered client of a session's account; without one, the session. Any other as is."""
        if account is None or not is_session(client):
            return client
        remembered = self._clients.get(account)
        other = None if remembered is None else remembered.ref()
        # The bot may have given it another key or address since.
        if remembered is None or other is None or label_of(other) != remembered.label:
            return client
        return other
