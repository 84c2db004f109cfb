"""What the shim must know of a client library: one struct, filled in by one file per library."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from exit_shim.domain.doors import Door, Identity
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


def nothing(*_: Any) -> None:
    """Do nothing, and return None."""


def never(*_: Any) -> bool:
    """Return False."""
    return False


class ClientSupport(NamedTuple):
    """Describe one client library: its doors, and how to recognize, read, clone and ask its clients.

    Args:
        name: The library's name on the package index.
        package: The package whose import brings the client classes.
        owns_module: Tells whether a module of this dotted name is part of the library.
        owns_class: Tells whether a class of a module of this dotted name is one of its clients.
        client_classes: Returns the client classes that are imported by now.
        doors: The methods that place, change, cancel or query exit orders.
        is_async: Tells whether the methods of a client are awaited.
        can_be_cloned: Tells whether a client is the library's own and really sends.
        clone: Takes from a client what it needs to ask in its place, with a client of python-binance for
            every library.
        read_api_error: Reads the library's exception for an answer of the exchange; None for another error.
        is_before_send: Tells whether an error that came through these frames was raised before the send.
        denial: Makes the exception of a denied order, which is also the library's own error.

        show_call: Puts the call that was denied into its exception.
        calls_itself: Whether the clients reach the doors through methods of their own, which a proxy around
            them would not see.
        forwarders_of: Returns the names of the methods of a client class that send through a door. The
            attribution of their caller is carried to the door, into another task or thread too.
        parts: The attributes of a client that hold further clients.
        modules: The modules that `exit-shim doctor` imports to look for the doors.
        tested_with: The releases that the doors were tested with.
        is_opt_in: Whether `install` covers the library only when it is asked to.
        identity_of: Returns the API key and address of a client; None where the three fields below tell.
        key_field: The client's attribute that holds the API key.
        address_field: The client's attribute that holds the address of USDⓈ-M futures.
        address_flags: Attributes that switch to another address; the client's class may hold that one.
        address_of: Returns the address that a client of these attributes and this class talks to.
        place_order: The door that places one order from Binance's fields.
        market_of: Returns the market that a door leads to by the door's name; None for an adapter's door.
        fix_client_order_ids: Sets the client order ids that a method of the library would invent.
        has_algo_orders: Tells whether a method sends conditional orders to the Algo Service.
        may_send_again: Tells whether a call that failed with an error may have been sent more than once.
        read_result: Returns Binance's answer from a door's result, or an `ApiError` where the result is a
            refusal; None where a door returns Binance's answer itself.
        make_result: Returns what a door would have returned for an answer of Binance's, for a call of it;
            None where only an exception can stand for an order that is held back.
        may_return_none: Whether a door can return None for a denied order without breaking the library.

        reads: The client's methods that list "orders", "algos" and "positions", and tell the "last" price.
            None of these for a library whose clients are only asked through a clone.
        commands: The client's methods that the executor needs: "place" an order, "amend", "cancel" and "find"
            one of the ordinary store, "cancel_algo" and "find_algo" one of the Algo Service; "rules" of the
            contracts, the "mark" price, the "commission" rates and the "income" of an account, the exchange's
            "time", and a "test" order, which shows whether the key may trade.
        read_without_method: Returns what sends one of the `reads` for which a client's release has no method;
            None where the library cannot send it.
        time_limit: Returns the keyword arguments that limit the seconds that a read waits for its answer.
        last_answer: Returns the HTTP response that a client got last; None where there is none.
        refresh_clone: Gives a clone the clock offset of the bot's client, and no last answer.
        close: Closes the connections of a cloned sync client.
    """

    name: str
    package: str
    owns_module: Callable[[object], bool]
    owns_class: Callable[[str], bool]
    client_classes: Callable[[], list[type]]
    doors: tuple[Door, ...]
    is_async: Callable[[Any], bool]
    can_be_cloned: Callable[[Any], bool]
    clone: Callable[[Any], ClientClone]
    read_api_error: Callable[[BaseException], ApiError | None]
    is_before_send: Callable[[Sequence[CodeStep]], bool]
    denial: Callable[[str, tuple[Reason, ...], int], ExitOrderDenied]

    show_call: Callable[[ExitOrderDenied, Any], None] = nothing
    calls_itself: bool = False
    forwarders_of: Callable[[type], Iterable[str]] = lambda _: ()
    parts: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    tested_with: str = ""
    is_opt_in: bool = False
    identity_of: Callable[[Any], Identity] | None = None
    key_field: str = ""
    address_field: str = ""
    address_flags: tuple[str, ...] = ()
    address_of: Callable[[Mapping[str, Any], type], object] = nothing
    place_order: str = ""
    market_of: Callable[[str], Market | None] = nothing
    fix_client_order_ids: Callable[[Door, Any, dict[str, Any]], None] = nothing
    has_algo_orders: Callable[[Any], bool] = never
    may_send_again: Callable[[Any, BaseException], bool] = never
    read_result: Callable[[Any], Any] | None = None
    make_result: Callable[[Any, Any], Any] | None = lambda answer, _call: answer
    may_return_none: bool = True

    reads: Mapping[str, str] = {}
    commands: Mapping[str, str] = {}
    read_without_method: Callable[[Any, str], Callable[..., Any] | None] = nothing
    time_limit: Callable[[float], dict[str, Any]] = lambda _: {}
    last_answer: Callable[[Any], Any] = nothing
    refresh_clone: Callable[[Any, Any], None] = nothing
    close: Callable[[Any], None] = nothing
