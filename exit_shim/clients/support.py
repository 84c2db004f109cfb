"""What the shim must know of a client library: one struct, filled in by one file per library."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from exit_shim.domain.doors import Door
from exit_shim.domain.verdicts import Reason
from exit_shim.errors import ExitOrderDenied

Market = Literal["um", "cm", "portfolio", "portfolio_um", "portfolio_cm"]
"""USDⓈ-M futures, COIN-M futures, and portfolio margin, where a door may serve both."""


class CodeStep(NamedTuple):
    """Name a frame that an exception came through."""

    module: str
    function: str


class ApiError(NamedTuple):
    """Hold what a library's exception says of the exchange's answer."""

    code: object
    status: object
    message: object


class ClientClone(Protocol):
    """Ask the exchange in the place of a bot's client: same account and host, no shared connection.

    It holds the account's credentials, so only `host` and `offset_ms` may be shown. `offset_ms` is what the
    client adds to its clock to match the exchange's.
    """

    host: str
    offset_ms: int

    def client(self) -> Any:
        """Make a sync client of the library; nothing is sent."""

    def async_client(self) -> Any:
        """Make an async client for the running event loop; nothing is sent."""

    def get(self, client: Any, prefix: str, path: str, params: Mapping[str, Any]) -> Any:
        """Send one signed GET with a client from `client()`.

        Args:
            client: The client that sends it.
            prefix: The API and version, such as "/fapi/v1/".
            path: The endpoint below that.
            params: The fields of the request.

        Raises:
            NotImplementedError: This release of the library cannot ask that API.
        """

    def why_no_user_stream(self, address: str | None) -> str | None:
        """Return why the account's user data stream cannot be had; None where it can be tried."""

    def user_stream(self, client: Any, address: str | None, most_waiting: int) -> Any:
        """Return the library's socket of the user data stream, not connected yet."""

    def mark_prices(self, client: Any, address: str | None, most_waiting: int) -> Any:
        """Return the library's socket of the mark prices of all symbols, once a second; not connected yet."""


class ClientSupport(NamedTuple):
    """Describe one client library: its doors, and how to recognize, read, clone and ask its clients.

    Args:
        name: The library's name on the package index.
        package: The package whose import brings the client classes.
        owns_module: Tells whether a module of this dotted name is part of the library.
        client_classes: Returns the client classes that are imported by now.
        doors: The methods that place, change, cancel or query exit orders.
        place_order: The door that places one order from Binance's fields.
        market_of: Returns the market that a door leads to by the door's name; None for an adapter's door.
        key_field: The client's attribute that holds the API key.
        address_field: The client's attribute that holds the address of USDⓈ-M futures.
        address_flags: Attributes that switch to another address; the client's class may hold that one.
        address_of: Returns the address that a client of these attributes and this class talks to.
        fix_client_order_ids: Sets the client order ids that a method of the library would invent.
        has_algo_orders: Tells whether a method sends conditional orders to the Algo Service.
        is_async: Tells whether the methods of a client are awaited.
        can_be_cloned: Tells whether a client is the library's own and really sends.
        clone: Takes from a client what it needs to ask in its place.
        reads: The client's methods that list "orders", "algos" and "positions", and tell the "last" price.
        commands: The client's methods that the executor needs: "place" an order, "amend", "cancel" and "find"
            one of the ordinary store, "cancel_algo" and "find_algo" one of the Algo Service; "rules" of the
            contracts, the "mark" price, the "commission" rates and the "income" of an account, the exchange's
            "time", and a "test" order, which shows whether the key may trade.
        read_without_method: Returns what sends one of the `reads` for which a client's release has no method;
            None where the library cannot send it.
        time_limit: Returns the keyword arguments that limit the seconds that a read waits for its answer.
        last_answer: Returns the HTTP response that a client got last; None where there is none.
        refresh_clone: Gives a cloned client the clock offset of the bot's, and no last answer.
        close: Closes the connections of a cloned sync client.
        read_api_error: Reads the library's exception for an answer of the exchange; None for another error.
        is_before_send: Tells whether an error that came through these frames was raised before the send.
        denial: Makes the exception of a denied order, which is also the library's own error.
    """

    name: str
    package: str
    owns_module: Callable[[object], bool]
    client_classes: Callable[[], list[type]]
    doors: tuple[Door, ...]
    place_order: str
    market_of: Callable[[str], Market | None]
    key_field: str
    address_field: str
    address_flags: tuple[str, ...]
    address_of: Callable[[Mapping[str, Any], type], object]
    fix_client_order_ids: Callable[[Door, Any, dict[str, Any]], None]
    has_algo_orders: Callable[[Any], bool]
    is_async: Callable[[Any], bool]
    can_be_cloned: Callable[[Any], bool]
    clone: Callable[[Any], ClientClone]
    reads: Mapping[str, str]
    commands: Mapping[str, str]
    read_without_method: Callable[[Any, str], Callable[..., Any] | None]
    time_limit: Callable[[float], dict[str, Any]]
    last_answer: Callable[[Any], Any]
    refresh_clone: Callable[[Any, Any], None]
    close: Callable[[Any], None]
    read_api_error: Callable[[BaseException], ApiError | None]
    is_before_send: Callable[[Sequence[CodeStep]], bool]
    denial: Callable[[str, tuple[Reason, ...], int], ExitOrderDenied]
