"""COIN-M: the answers whose fields differ from those of USDⓈ-M."""

from __future__ import annotations

from decimal import Decimal

from exit_shim.exchange.engine.candles import Candle
from exit_shim.exchange.engine.numbers import ZERO, fixed
from exit_shim.exchange.engine.positions import Position
from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.symbols import ONBOARDED, Symbol
from exit_shim.exchange.engine.tape import MarketTrade
from exit_shim.exchange.engine.views import account as futures_account
from exit_shim.exchange.engine.views import market, market_data

Json = dict[str, object]


def pair_of(symbol: Symbol) -> str:
    """Return the pair of a contract: BTCUSD of BTCUSD_PERP."""
    return symbol.name.partition("_")[0]


def contract_size(symbol: Symbol) -> int:
    """Return how many US dollars a contract is worth."""
    return 100 if symbol.base == "BTC" else 10


def exchange_info(symbols: list[Symbol], now: int, *, algo_limit: int | None) -> Json:
    """Return the answer to GET /dapi/v1/exchangeInfo."""
    futures_info = market.exchange_info([], now)
    return {
        "timezone": "UTC",
        "serverTime": now,
        "rateLimits": futures_info["rateLimits"],
        "exchangeFilters": [],
        "symbols": [_contract(symbol, algo_limit) for symbol in symbols],
    }


def with_pair(row: Json, symbol: Symbol, name: str = "pair") -> Json:
    """Return an element with its pair behind its symbol."""
    return {"symbol": symbol.name, name: pair_of(symbol), **row}


def kline(candle: Candle, symbol: Symbol, end: int) -> list[object]:
    """Return an element of GET /dapi/v1/klines: contracts, then coins."""
    row = market_data.kline(candle, symbol, end)
    row[7] = _coins(candle.volume, symbol, candle.close)
    row[10] = _coins(candle.taker_volume, symbol, candle.close)
    return row


def ticker_24h(row: Json, symbol: Symbol, day: Candle) -> Json:
    """Return an element of GET /dapi/v1/ticker/24hr of one of USDⓈ-M: `baseVolume`, no `quoteVolume`."""
    fields = {name: value for name, value in row.items() if name != "quoteVolume"}
    return {**with_pair(fields, symbol), "baseVolume": _coins(day.volume, symbol, day.close)}


def trade(done: MarketTrade, symbol: Symbol) -> Json:
    """Return an element of GET /dapi/v1/trades and /dapi/v1/historicalTrades."""
    return {
        "id": done.trade_id,
        "price": fixed(done.price, symbol.price_precision),
        "qty": fixed(done.quantity, 0),
        "baseQty": _coins(done.quantity, symbol, done.price),
        "time": done.time,
        "isBuyerMaker": done.buyer_is_maker,
    }


def balance(state: State) -> list[Json]:
    """Return the answer to GET /dapi/v1/balance: a fixed amount of each coin."""
    return [
        {
            "accountAlias": "SgsR",
            "asset": asset,
            "balance": amount,
            "withdrawAvailable": amount,
            "crossWalletBalance": amount,
            "crossUnPnl": "0.00000000",
            "availableBalance": amount,
            "updateTime": state.account.update_time,
        }
        for asset, amount in _wallets(state).items()
    ]


def account(state: State) -> Json:
    """Return the answer to GET /dapi/v1/account."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "assets": [_asset(state, asset, amount) for asset, amount in _wallets(state).items()],
        "positions": [_position(state, row) for row in futures_account.every_position(state, None)],
    }


def position_risk(state: State, position: Position) -> Json:
    """Return an element of GET /dapi/v1/positionRisk."""
    row = futures_account.position_risk_v2_row(state, position)
    coins = _coins(abs(position.amount), state.symbols[position.symbol], state.quotes[position.symbol].mark)
    return {
        **{name: value for name, value in row.items() if name not in {"maxNotionalValue", "notional"}},
        "positionAmt": fixed(position.amount, 0),
        "maxQty": fixed(state.symbols[position.symbol].max_quantity, 0),
        "notionalValue": f"-{coins}" if position.amount < 0 else coins,
    }


def leverage_brackets(symbol: Symbol) -> list[Json]:
    """Return the brackets of GET /dapi/v2/leverageBracket, which are in contracts."""
    return [
        {
            "bracket": place + 1,
            "initialLeverage": row.leverage,
            "qtyCap": int(row.cap),
            "qtylFloor": int(row.floor),
            "maintMarginRatio": float(row.rate),
            "cum": float(row.deduction),
        }
        for place, row in enumerate(symbol.brackets)
    ]


def _coins(contracts: Decimal, symbol: Symbol, price: Decimal) -> str:
    return fixed(contracts * contract_size(symbol) / price if price else ZERO, 8)


def _wallets(state: State) -> dict[str, str]:
    # The engine counts all contracts in one wallet; shown is what that is in each coin at its first price.
    return {symbol.base: fixed(state.account.wallet / symbol.start, 8) for symbol in state.symbols.values()}


def _asset(state: State, asset: str, amount: str) -> Json:
    nothing = "0.00000000"
    return {
        "asset": asset,
        "walletBalance": amount,
        "unrealizedProfit": nothing,
        "marginBalance": amount,
        "maintMargin": nothing,
        "initialMargin": nothing,
        "positionInitialMargin": nothing,
        "openOrderInitialMargin": nothing,
        "maxWithdrawAmount": amount,
        "crossWalletBalance": amount,
        "crossUnPnl": nothing,
        "availableBalance": amount,
        "updateTime": state.account.update_time,
    }


def _position(state: State, position: Position) -> Json:
    risk = position_risk(state, position)
    shown = (
        *("symbol", "positionAmt", "leverage", "positionSide", "entryPrice", "breakEvenPrice", "maxQty"),
        *("updateTime", "notionalValue", "isolatedWallet"),
    )
    nothing = "0"
    return {
        **{name: risk[name] for name in shown},
        "initialMargin": nothing,
        "maintMargin": nothing,
        "unrealizedProfit": risk["unRealizedProfit"],
        "positionInitialMargin": nothing,
        "openOrderInitialMargin": nothing,
        "isolated": risk["marginType"] == "isolated",
    }


def _contract(symbol: Symbol, algo_limit: int | None) -> Json:
    contract = market.contract(symbol, algo_limit)
    shared_names = (
        *("symbol", "contractType", "deliveryDate", "maintMarginPercent", "requiredMarginPercent"),
        *("baseAsset", "pricePrecision", "quantityPrecision", "baseAssetPrecision", "quotePrecision"),
        *("underlyingType", "underlyingSubType", "triggerProtect", "liquidationFee", "marketTakeBound"),
        *("maxMoveOrderLimit", "orderTypes", "timeInForce"),
    )
    filters = market.filters(symbol, algo_limit)
    return {
        **{name: contract[name] for name in shared_names},
        "filters": [row for row in filters if row["filterType"] != "MIN_NOTIONAL"],
        "pair": pair_of(symbol),
        "onboardDate": ONBOARDED,
        "contractStatus": symbol.status,
        "contractSize": contract_size(symbol),
        "marginAsset": symbol.base,
        "quoteAsset": "USD",
        "equalQtyPrecision": 4,
    }
