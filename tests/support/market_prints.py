"""Trades of others on the tape of a local exchange, as a market that lives prints them."""

from decimal import Decimal

from exit_shim.exchange.engine import emission


def print_trade(exchange, quantity, *, symbol="BTCUSDT", sells=False, coin=False):
    """Let others trade at the last price; return the trade."""
    engine = exchange.coin if coin else exchange.engine
    with exchange.lock:
        engine.run_due()
        price = engine.quote(symbol).last
        trade = engine.state.tape.add(
            symbol, price, Decimal(quantity), engine.state.now, buyer_is_maker=sells
        )
        emission.emit_market_trade(engine.state, symbol, trade)
        return trade
