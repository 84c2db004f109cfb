"""Income and margin moves: what came into and went out of the wallet and the positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exit_shim.exchange.engine.account import Transfer
from exit_shim.exchange.engine.numbers import fixed
from exit_shim.exchange.engine.orders import Trade
from exit_shim.exchange.engine.positions import FundingPayment, MarginMove

Json = dict[str, object]


def income(trades: Iterable[Trade]) -> Iterator[Json]:
    """Yield the elements of GET /fapi/v1/income: REALIZED_PNL where it is not zero, and COMMISSION."""
    for trade in trades:
        if trade.realised:
            yield _row(trade, "REALIZED_PNL", fixed(trade.realised, 8))
        yield _row(trade, "COMMISSION", fixed(-trade.commission, 8))


def funding_fees(payments: Iterable[FundingPayment]) -> Iterator[Json]:
    """Yield the elements of GET /fapi/v1/income of funding payments."""
    for payment in payments:
        yield {
            "symbol": payment.symbol,
            "incomeType": "FUNDING_FEE",
            "income": fixed(payment.amount, 8),
            "asset": "USDT",
            "time": payment.time,
            "info": "FUNDING_FEE",
            "tranId": payment.payment_id * 2,
            "tradeId": "",
        }


def transfers(moves: Iterable[Transfer]) -> Iterator[Json]:
    """Yield the elements of GET /fapi/v1/income of transfers to and from the spot account."""
    for move in moves:
        yield {
            "symbol": "",
            "incomeType": "TRANSFER",
            "income": fixed(move.amount if move.to_futures else -move.amount, 8),
            "asset": move.asset,
            "time": move.time,
            "info": "TRANSFER",
            "tranId": move.tran_id,
            "tradeId": "",
        }


def margin_move(move: MarginMove) -> Json:
    """Return an element of GET /fapi/v1/positionMargin/history."""
    return {
        "symbol": move.symbol,
        "type": 1 if move.adds else 2,
        "deltaType": "USER_ADJUST",
        "amount": fixed(move.amount, 8),
        "asset": "USDT",
        "time": move.time,
        "positionSide": move.side,
    }


def _row(trade: Trade, kind: str, amount: str) -> Json:
    return {
        "symbol": trade.symbol,
        "incomeType": kind,
        "income": amount,
        "asset": "USDT",
        "time": trade.time,
        "info": str(trade.trade_id),
        "tranId": trade.trade_id * 2 + (kind == "COMMISSION"),
        "tradeId": str(trade.trade_id),
    }
