"""Handlers of conditional orders."""

from __future__ import annotations

from exit_shim.exchange.engine.request_parser import read_algo, read_algo_ref, read_response_type
from exit_shim.exchange.engine.views import algo as views

from .api_call import ApiCall, Json
from .orders import DONE
from .paging import keep_page, keep_within, read_week


def place(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/algoOrder."""
    read_response_type(call.params)
    algo = call.engine.place_algo(read_algo(call.params, call.engine.state.ids.next_client_id))
    return views.render_placed(algo, call.engine.state.symbols[algo.symbol])


def cancel(call: ApiCall) -> Json:
    """Answer DELETE /fapi/v1/algoOrder: needs no symbol and ignores one."""
    return views.render_cancelled(call.engine.cancel_algo(read_algo_ref(call.params)))


def query(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/algoOrder."""
    algo = call.engine.algo(read_algo_ref(call.params))
    return views.render_queried(algo, call.engine.state.symbols[algo.symbol], call.engine.child_of(algo))


def list_open(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/openAlgoOrders: a bare array; what has triggered is not in it."""
    symbols, algo_id = call.engine.state.symbols, call.params.integer("algoId")
    algos = call.engine.open_algos(call.params.text("symbol"))
    return [
        views.render_opened(algo, symbols[algo.symbol]) for algo in algos if algo_id in {None, algo.algo_id}
    ]


def list_all(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/allAlgoOrders: from `algoId` on the first `limit`, else the newest."""
    symbol, first = call.params.required("symbol"), call.params.integer("algoId")
    window = read_week(call.params, call.engine.now(), from_id=first is not None)
    algos = [algo for algo in call.engine.all_algos(symbol) if algo.algo_id >= (first or 0)]
    in_window = keep_within(window, algos, lambda algo: algo.create_time)
    contract = call.engine.state.symbols[symbol]
    return [
        views.render_listed(algo, contract, call.engine.child_of(algo))
        for algo in keep_page(call.params, in_window, first)
    ]


def cancel_all(call: ApiCall) -> Json:
    """Answer DELETE /fapi/v1/algoOpenOrders: here `code` is a number."""
    call.engine.cancel_all_algos(call.params.required("symbol"))
    return dict(DONE)
