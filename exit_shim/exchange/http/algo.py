"""Handlers of conditional orders."""

from __future__ import annotations

from exit_shim.exchange.engine.reading import read_algo, read_algo_ref, read_response_type
from exit_shim.exchange.engine.views import algo as views

from .call import Call, Json
from .orders import DONE
from .paging import newest, week_of, within


def place(call: Call) -> Json:
    """POST /fapi/v1/algoOrder."""
    read_response_type(call.params)
    algo = call.engine.place_algo(read_algo(call.params, call.engine.state.ids.next_client_id))
    return views.placed(algo, call.engine.state.symbols[algo.symbol])


def cancel(call: Call) -> Json:
    """DELETE /fapi/v1/algoOrder: needs no symbol and ignores one."""
    return views.cancelled(call.engine.cancel_algo(read_algo_ref(call.params)))


def query(call: Call) -> Json:
    """GET /fapi/v1/algoOrder."""
    algo = call.engine.algo(read_algo_ref(call.params))
    return views.queried(algo, call.engine.state.symbols[algo.symbol], call.engine.child_of(algo))


def list_open(call: Call) -> Json:
    """GET /fapi/v1/openAlgoOrders: a bare array; what has triggered is not in it."""
    symbols, wanted = call.engine.state.symbols, call.params.integer("algoId")
    found = call.engine.open_algos(call.params.text("symbol"))
    return [views.opened(algo, symbols[algo.symbol]) for algo in found if wanted in {None, algo.algo_id}]


def list_all(call: Call) -> Json:
    """GET /fapi/v1/allAlgoOrders: from `algoId` on, the newest `limit`, oldest first."""
    symbol, first = call.params.required("symbol"), call.params.integer("algoId")
    window = week_of(call.params, call.engine.now(), from_id=first is not None)
    found = [algo for algo in call.engine.all_algos(symbol) if algo.algo_id >= (first or 0)]
    timely = within(window, found, lambda algo: algo.create_time)
    contract = call.engine.state.symbols[symbol]
    return [views.listed(algo, contract, call.engine.child_of(algo)) for algo in newest(call.params, timely)]


def cancel_all(call: Call) -> Json:
    """DELETE /fapi/v1/algoOpenOrders: here `code` is a number."""
    call.engine.cancel_all_algos(call.params.required("symbol"))
    return dict(DONE)
