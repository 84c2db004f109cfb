"""The control requests of other processes; each function is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from exit_shim.exchange.engine.orders import OrderRef
from exit_shim.exchange.engine.views import overview
from exit_shim.exchange.faults.plan import Injection
from exit_shim.exchange.replay import MARKETS, make_market
from exit_shim.exchange.request_record import RequestRecord

from .auth import ApiKey
from .control_requests import (
    Advance,
    ControlRequest,
    Fill,
    ForeignTrade,
    Levels,
    MarketMode,
    NamedFault,
    Newest,
    NewKey,
    OfSymbols,
    Prices,
    read_control,
)
from .request import RawRequest
from .service import ExchangeService

PRICES = ("mark", "last", "bid", "ask")
#: Parameters that are not shown.
_SECRETS = frozenset({"apiKey", "listenKey", "signature"})
#: The most steps a second that a market takes.
FASTEST = 1000

Json = dict[str, Any] | list[dict[str, Any]] | msgspec.Raw
Action = Callable[[ExchangeService, RawRequest], Json]


def read_state(service: ExchangeService, request: RawRequest) -> Json:
    """Return time, account, prices, positions and open orders, of one symbol or of all.

    Prices are those of the symbols in use, unless `all` is true.
    """
    engine, sent = service.engine, read_control(request, OfSymbols)
    name = sent.symbol
    if name is not None:
        symbols = [engine.state.symbol(name).name]
    else:
        symbols = list(engine.state.symbols) if sent.all else engine.state.symbols_in_use()
    return {
        "now": engine.now(),
        "hedgeMode": engine.hedge_mode,
        "wallet": f"{engine.wallet:f}",
        "prices": {symbol: overview.render_quote(engine.quote(symbol)) for symbol in symbols},
        "positions": overview.render_positions(engine.state, name),
        "orders": overview.render_orders(engine.state, engine.open_orders(name)),
        "algoOrders": overview.render_algos(engine.state, engine.open_algos(name)),
    }


def set_price(service: ExchangeService, request: RawRequest) -> Json:
    """Set all prices of a symbol to `price`, or those of mark, last, bid and ask that are sent."""
    sent = read_control(request, Prices)
    others = {name: value for name in PRICES if (value := getattr(sent, name)) is not None}
    if sent.price is not None:
        service.engine.move_prices(sent.symbol, sent.price, **others)
    elif others:
        service.engine.set_prices(sent.symbol, **others)
    else:
        raise ValueError("no price was sent; expected `price`, or any of mark, last, bid and ask")
    return _quote(service, sent.symbol)


def set_book(service: ExchangeService, request: RawRequest) -> Json:
    """Give a symbol a book of levels, which orders take from until nothing is left."""
    sent = read_control(request, Levels)
    service.engine.set_book(sent.symbol, sent.bids, sent.asks)
    return _quote(service, sent.symbol)


def trade(service: ExchangeService, request: RawRequest) -> Json:
    """Let others trade; resting orders share in it."""
    sent = read_control(request, ForeignTrade)
    service.engine.trade(sent.symbol, sent.price, sent.quantity)
    return _quote(service, sent.symbol)


def fill(service: ExchangeService, request: RawRequest) -> Json:
    """Fill an open order at its own price, wholly or up to `quantity`."""
    sent = read_control(request, Fill)
    if sent.order_id is None and sent.client_id is None:
        raise ValueError("no order was named; expected `orderId` or `origClientOrderId`")
    ref = OrderRef(order_id=sent.order_id, client_id=sent.client_id)
    order = service.engine.fill_order(sent.symbol, ref, sent.quantity)
    return overview.render_orders(service.engine.state, [order])[0]


def advance(service: ExchangeService, request: RawRequest) -> Json:
    """Let time pass without waiting."""
    service.engine.advance(read_control(request, Advance).milliseconds)
    return {"now": service.engine.now()}


def read_market(service: ExchangeService, request: RawRequest) -> Json:
    """Return how prices move, None for a market that has no name here."""
    read_control(request, ControlRequest)
    return _show_market(service)


def set_market(service: ExchangeService, request: RawRequest) -> Json:
    """Let prices move in another way from now on; they go on from where they are."""
    sent = read_control(request, MarketMode)
    if sent.files and request.headers.get("origin") is not None:
        raise ValueError("files are not for pages in a browser; expected a program, or another mode")
    if sent.speed is not None and not 0 <= sent.speed <= FASTEST:
        raise ValueError(f"speed={sent.speed!r} is invalid; expected steps a second, 0 to {FASTEST}")
    try:
        market = make_market(sent.mode, seed=sent.seed, files=sent.files)
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}; expected a file of candles") from error
    state = service.engine.state
    state.market = market
    state.motion.next_due = None
    if sent.speed is not None:
        state.motion.speed = sent.speed
    return _show_market(service)


def list_faults(service: ExchangeService, request: RawRequest) -> Json:
    """Return the rules of the fault plan, and how often each has hit."""
    name = read_control(request, NamedFault).fault
    return [_show_rule(rule) for rule in service.faults.injections if name in {None, rule.fault.name}]


def inject_fault(service: ExchangeService, request: RawRequest) -> Json:
    """Add a rule, or a list of them, as `FaultPlan.schedule` takes them."""
    rows = _read_rows(request)
    return [_show_rule(rule) for rule in service.faults.schedule(rows)]


def clear_faults(service: ExchangeService, request: RawRequest) -> Json:
    """Remove the rules of one fault, or of all; return those that stay."""
    service.faults.clear(read_control(request, NamedFault).fault)
    return [_show_rule(rule) for rule in service.faults.injections]


def list_requests(service: ExchangeService, request: RawRequest) -> Json:
    """Return the newest requests of clients, the oldest of them first."""
    limit = read_control(request, Newest).limit
    if limit < 1:
        raise ValueError(f"limit={limit!r} is invalid; expected 1 or more")
    newest = list(service.records)[-limit:]
    return [_show_record(record) for record in newest]


def list_unanswered(service: ExchangeService, request: RawRequest) -> Json:
    """Return what clients asked for that is not there, the most frequent first."""
    read_control(request, ControlRequest)
    return [msgspec.structs.asdict(each) for each in service.gate.unanswered.list_all()]


def add_key(service: ExchangeService, request: RawRequest) -> Json:
    """Accept an API key from now on, for the same account as all others."""
    sent = read_control(request, NewKey)
    service.gate.credentials[sent.key] = ApiKey(
        secret=sent.secret, can_read=sent.can_read, can_trade=sent.can_trade
    )
    return {"key": sent.key, "canRead": sent.can_read, "canTrade": sent.can_trade}


def save(service: ExchangeService, request: RawRequest) -> Json:
    """Return the whole exchange as it can be loaded again: no keys, listen keys and faults."""
    read_control(request, ControlRequest)
    return msgspec.Raw(service.engine.dump())


def load(service: ExchangeService, request: RawRequest) -> Json:
    """Go back to what was saved, which is the body."""
    service.restore(request.body.encode())
    return {"now": service.engine.now()}


def reset(service: ExchangeService, request: RawRequest) -> Json:
    """Begin again as the exchange began."""
    read_control(request, ControlRequest)
    service.restore(None)
    return {"now": service.engine.now()}


ACTIONS: Mapping[tuple[str, str], Action] = MappingProxyType(
    {
        ("GET", "state"): read_state,
        ("POST", "price"): set_price,
        ("POST", "book"): set_book,
        ("POST", "trade"): trade,
        ("POST", "fill"): fill,
        ("POST", "advance"): advance,
        ("GET", "market"): read_market,
        ("POST", "market"): set_market,
        ("GET", "faults"): list_faults,
        ("POST", "faults"): inject_fault,
        ("DELETE", "faults"): clear_faults,
        ("GET", "requests"): list_requests,
        ("GET", "unanswered"): list_unanswered,
        ("POST", "keys"): add_key,
        ("GET", "saved"): save,
        ("POST", "saved"): load,
        ("POST", "reset"): reset,
    }
)


def _show_market(service: ExchangeService) -> dict[str, Any]:
    state = service.engine.state
    names: dict[type, str] = {kind: name for name, kind in MARKETS.items()}
    return {"mode": names.get(type(state.market)), "speed": state.motion.speed}


def _quote(service: ExchangeService, symbol: str) -> dict[str, Any]:
    return {"symbol": symbol, **overview.render_quote(service.engine.quote(symbol))}


def _read_rows(request: RawRequest) -> list[dict[str, Any]]:
    if not request.body.lstrip().startswith(("{", "[")):
        return [dict(request.params)]
    try:
        sent = msgspec.json.decode(request.body, type=dict[str, Any] | list[dict[str, Any]])
    except msgspec.DecodeError as wrong:
        raise ValueError(f"{wrong}; expected a JSON object with `fault`, or a list of them") from wrong
    return sent if isinstance(sent, list) else [sent]


def _show_rule(rule: Injection) -> dict[str, Any]:
    names = "method", "path", "where", "times", "skip", "chance", "since_ms", "until_ms", "seen", "hits"
    return {"fault": rule.fault.name, **{name: getattr(rule, name) for name in names}}


def _show_record(record: RequestRecord) -> dict[str, Any]:
    return {
        "method": record.method,
        "path": record.path,
        "params": {name: value for name, value in record.params.items() if name not in _SECRETS},
        "receivedMs": record.received_ms,
        "httpStatus": record.http_status,
        "errorCode": record.error_code,
        "executed": record.executed,
        "fault": record.fault,
    }
