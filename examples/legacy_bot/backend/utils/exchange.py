"""Small helpers around the exchange that every module ended up copying, until they moved here."""

from decimal import ROUND_DOWN, Decimal


class ExchangeRules:
    """Tick and step sizes, read once when a module starts."""

    def __init__(self, client):
        self._tick = {}
        self._step = {}
        for entry in client.futures_exchange_info()["symbols"]:
            for f in entry["filters"]:
                if f["filterType"] == "PRICE_FILTER":
                    self._tick[entry["symbol"]] = Decimal(f["tickSize"])
                elif f["filterType"] == "LOT_SIZE":
                    self._step[entry["symbol"]] = Decimal(f["stepSize"])

    def price(self, symbol, value):
        return _floor(value, self._tick.get(symbol, Decimal("0.01")))

    def quantity(self, symbol, value):
        step = self._step.get(symbol, Decimal("0.001"))
        return max(_floor(value, step), float(step))


def _floor(value, unit):
    steps = (Decimal(str(value)) / unit).to_integral_value(rounding=ROUND_DOWN)
    return float(steps * unit)


class Position:
    """One open position, in the few words the bot uses."""

    def __init__(self, row):
        self.symbol = row["symbol"]
        self.amount = float(row["positionAmt"])
        self.entry_price = float(row["entryPrice"])

    @property
    def is_long(self):
        return self.amount > 0

    @property
    def quantity(self):
        return abs(self.amount)

    @property
    def exit_side(self):
        return "SELL" if self.is_long else "BUY"

    def worse(self, price, pct):
        """The price `pct` on the losing side of `price`: where stops go."""
        return price * (1 - pct) if self.is_long else price * (1 + pct)

    def better(self, price, pct):
        """The price `pct` on the winning side of `price`: where targets go."""
        return price * (1 + pct) if self.is_long else price * (1 - pct)

    def safer(self, a, b):
        """Of two stop prices the one that is farther from the market."""
        return min(a, b) if self.is_long else max(a, b)


def open_positions(client, symbols):
    """Open positions in the order of `symbols`, whatever order the exchange lists them in."""
    rows = {row["symbol"]: row for row in client.futures_position_information()}
    positions = [Position(rows[s]) for s in symbols if s in rows]
    return [p for p in positions if p.amount]


def closing_stops(client, symbol, side):
    """The resting stops that would close the whole position."""
    return [
        order
        for order in client.futures_get_open_orders(symbol=symbol, conditional=True)
        if order["orderType"] == "STOP_MARKET" and order["closePosition"] and order["side"] == side
    ]


def ref(order):
    """An id for the log. Stops come back with an algoId, everything else with an orderId."""
    if not order:
        return "-"
    return order.get("algoId") or order.get("orderId")
