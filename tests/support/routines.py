"""What modules of a bot do: several calls each, in the style of such bots, stopping at the first exception.

A routine is a generator: it yields before each call but the first, so that something else can happen there.
It sees the answers of the world it runs in, and nothing else of it but positions and prices, which bots have
from their streams.
"""

from decimal import ROUND_DOWN, Decimal
from typing import Any

TICKS = {"BTCUSDT": Decimal("0.1"), "ETHUSDT": Decimal("0.01")}
SCALE = {"BTCUSDT": 1, "ETHUSDT": 20}
STEP = Decimal("0.001")


class Bot:
    """One module at work in one world on one position.

    Args:
        world: Where.
        options: The step that it was asked for with.
    """

    def __init__(self, world: Any, options: dict[str, Any]) -> None:
        self.world = world
        self.options = options
        self.module = options["module"]
        self.process = options["process"]
        self.symbol = options["symbol"]
        self.side = options["side"]
        self.memory = world.memory.setdefault((self.module, self.symbol, self.side), {})

    # What it knows

    @property
    def amount(self) -> Decimal:
        """The position."""
        return Decimal(self.world.exchange.engine.position(self.symbol, self.side).amount)

    @property
    def is_long(self) -> bool:
        """Whether it guards a long position."""
        return self.side == "LONG" or (self.side == "BOTH" and self.amount >= 0)

    def price(self, distance: Any, *, towards: bool = False) -> str:
        """Return a price that far from the mark: against the position, or with it."""
        falls = self.is_long != towards
        mark = self.world.exchange.engine.quote(self.symbol).mark
        factor = 1 - Decimal(str(distance)) if falls else 1 + Decimal(str(distance))
        return str((mark * factor).quantize(TICKS[self.symbol]))

    def share(self, part: Any) -> str:
        """Return a part of the position, or of what it usually is."""
        size = abs(self.amount) or Decimal("0.03") * SCALE[self.symbol]
        return str(max((size * Decimal(str(part))).quantize(STEP, ROUND_DOWN), STEP))

    # What it asks for

    def call(self, method: str, **params: Any) -> Any:
        """Call the client."""
        return self.world.call(self, method, params)

    def place(self, **fields: Any) -> Any:
        """Place an exit."""
        sides = {} if self.side == "BOTH" else {"positionSide": self.side}
        side = "SELL" if self.is_long else "BUY"
        if self.side == "BOTH" and "closePosition" not in fields:
            fields["reduceOnly"] = "true"
        order = {"symbol": self.symbol, "side": side, **sides, **fields}
        if limit := self.options.get("limit"):
            return self.world.call_within(self, limit, "futures_create_order", order)
        return self.call("futures_create_order", **order)

    def stop(self, shape: dict[str, Any], name: str | None = None) -> Any:
        """Place a stop, and remember its id."""
        kind = shape.get("type", "STOP_MARKET")
        fields: dict[str, Any] = {"type": kind, "workingType": shape.get("working", "CONTRACT_PRICE")}
        if name is not None:
            fields["clientAlgoId"] = name
        if shape.get("protect"):
            fields["priceProtect"] = "true"
        if kind == "TRAILING_STOP_MARKET":
            fields |= {"callbackRate": shape["rate"], "quantity": self.share(shape["part"])}
            if shape["later"]:
                fields["activatePrice"] = self.price("0.01", towards=True)
        else:
            fields["stopPrice"] = self.price(shape["distance"])
            if kind == "STOP":
                fields |= {"price": self.price(shape["distance"]), "timeInForce": "GTC"}
            if shape["part"] == "whole" and kind != "STOP":
                fields["closePosition"] = "true"
            else:
                fields["quantity"] = self.share(1 if shape["part"] == "whole" else shape["part"])
        self.memory["name"] = name
        answer = self.place(**fields)
        self.memory["stop"] = answer["algoId"]
        return answer

    def target(self, distance: Any, part: Any, name: str | None = None) -> Any:
        """Place a take-profit."""
        named = {} if name is None else {"clientAlgoId": name}
        size = {"closePosition": "true"} if part == "whole" else {"quantity": self.share(part)}
        kind, price = "TAKE_PROFIT_MARKET", self.price(distance, towards=True)
        answer = self.place(type=kind, stopPrice=price, **size, **named)
        self.memory["target"] = answer["algoId"]
        return answer

    def limit(self, distance: Any, part: Any, tif: str = "GTC", name: str | None = None) -> Any:
        """Place a limit close; a distance below zero is through the market."""
        named = {} if name is None else {"newClientOrderId": name}
        price = self.price(distance, towards=True)
        answer = self.place(type="LIMIT", timeInForce=tif, price=price, quantity=self.share(part), **named)
        if tif == "GTC":
            self.memory["limit"] = answer["orderId"]
        return answer

    def cancel_all(self, *, conditional: bool) -> Any:
        """Cancel all of the symbol, of one store."""
        return self.call("futures_cancel_all_open_orders", symbol=self.symbol, conditional=conditional)


def target_then_stop(bot, o):
    """Place a target and then the stops, in one `try`."""
    bot.target(o["towards"], o["target_part"], o["target_name"])
    yield
    bot.stop(o["shape"], o["name"])
    if o["second"]:
        yield
        bot.stop(o["second"])


def clear_then_guard(bot, o):
    """Cancel everything, then place a stop, and maybe a target."""
    if o["both"]:
        bot.cancel_all(conditional=False)
        yield
    bot.cancel_all(conditional=True)
    yield
    bot.stop(o["shape"], o["name"])
    if o["target_part"] != "whole":
        yield
        bot.target(o["towards"], o["target_part"], o["target_name"])


def move_stop(bot, o):
    """Cancel the own old stop by the id that the answer had, then place a new one."""
    if bot.memory.get("stop") is not None:
        try:
            bot.call("futures_cancel_algo_order", algoId=bot.memory["stop"])
        except Exception as error:
            if getattr(error, "code", None) not in {-2011, -2013}:
                raise
    yield
    bot.stop(o["shape"], o["name"])


def place_then_drop(bot, o):
    """Place a new stop, then cancel the old one."""
    old = bot.memory.get("stop")
    bot.stop(o["shape"], o["name"])
    yield
    if old is not None:
        bot.call("futures_cancel_algo_order", algoId=old)


def look_after(bot, o):
    """Ask for the own stop, by id or name; place one where it does not rest."""
    asked = {}
    if o["by_name"] and bot.memory.get("name"):
        asked = {"clientAlgoId": bot.memory["name"]}
    elif bot.memory.get("stop") is not None:
        asked = {"algoId": bot.memory["stop"]}
    stands = False
    if asked:
        try:
            stands = bot.call("futures_get_algo_order", **asked)["algoStatus"] == "NEW"
        except Exception as error:
            if getattr(error, "code", None) != -2013:
                raise
    yield
    if not stands:
        bot.stop(o["shape"], o["name"])


def insist(bot, o):
    """Place a stop, again on any exception, then give up."""
    for left in range(o["times"], 0, -1):
        try:
            bot.stop(o["shape"], o["name"])
        except Exception:  # noqa: PERF203 - a bot's loop
            if left == 1:
                raise
            yield
        else:
            return


def stop_only(bot, o):
    """Place a stop."""
    bot.stop(o["shape"], o["name"])
    yield


def targets(bot, o):
    """Place two targets."""
    bot.target(o["towards"], o["target_part"], o["target_name"])
    yield
    bot.target(float(o["towards"]) * 2, "0.34")


def rest_a_close(bot, o):
    """Place a limit close, and then a stop."""
    bot.limit(o["towards"], o["close_part"], name=o["target_name"])
    yield
    bot.stop(o["shape"], o["name"])


def batch(bot, o):
    """Place two limit closes at once, and then a stop."""
    sides = {} if bot.side == "BOTH" else {"positionSide": bot.side}
    reducing = {"reduceOnly": "true"} if bot.side == "BOTH" else {}
    terms = {"type": "LIMIT", "timeInForce": "GTC", "side": "SELL" if bot.is_long else "BUY"}
    orders = [
        {"symbol": bot.symbol, "price": bot.price(distance, towards=True), "quantity": bot.share("0.34")}
        | (terms | sides | reducing)
        for distance in (o["towards"], "0.02")
    ]
    bot.call("futures_place_batch_order", batchOrders=orders)
    yield
    bot.stop(o["shape"], o["name"])


def close_now(bot, o):
    """Close at once, by one of the ways there are."""
    way, part = o["way"], o["close_part"]
    if way == "MARKET":
        bot.place(type="MARKET", quantity=bot.share(part))
    elif way == "through":
        bot.limit("-0.01", part)
    else:
        bot.limit("-0.01" if o["fills"] else "0.01", part, way)
    yield
    if o["both"]:
        bot.cancel_all(conditional=True)


def modify(bot, o):
    """Change the price of the own limit close, and place one where there is none."""
    if bot.memory.get("limit") is None:
        bot.limit(o["towards"], o["close_part"])
    yield
    fields = {"symbol": bot.symbol, "side": "SELL" if bot.is_long else "BUY", "orderId": bot.memory["limit"]}
    bot.call(
        "futures_modify_order",
        quantity=bot.share(o["close_part"]),
        price=bot.price(o["towards"], towards=True),
        **fields,
    )
    yield
    bot.stop(o["shape"], o["name"])


def enter(bot, o):
    """Open or grow a position, and then guard it."""
    sides = {} if bot.side == "BOTH" else {"positionSide": bot.side}
    is_long = bot.side == "LONG" or (
        bot.side == "BOTH" and (bot.amount > 0 or (not bot.amount and o["long"]))
    )
    size = str(Decimal(o["size"]) * SCALE[bot.symbol])
    fields = {"symbol": bot.symbol, "side": "BUY" if is_long else "SELL", "type": "MARKET", "quantity": size}
    bot.call("futures_create_order", **fields, **sides)
    if o["guards"]:
        yield
        bot.stop(o["shape"], o["name"])


def flip(bot, o):
    """Turn the position: close it and open the other way, then guard it."""
    if bot.side == "BOTH":
        if bot.amount:
            size, side = abs(bot.amount) * 2, "SELL" if bot.amount > 0 else "BUY"
            fields = {"symbol": bot.symbol, "side": side, "type": "MARKET", "quantity": str(size)}
            bot.call("futures_create_order", **fields)
        yield
    else:
        bot.place(type="MARKET", quantity=bot.share(1))
        yield
        yield from enter(bot, o | {"guards": False})
        yield
    bot.stop(o["shape"], o["name"])


def drop(bot, o):
    """Cancel an own order, by its id or name, and leave it at that."""
    if o["by_name"] and o["name"]:
        bot.call("futures_cancel_algo_order", clientAlgoId=o["name"])
    elif bot.memory.get(o["which"]) is not None:
        bot.call("futures_cancel_algo_order", algoId=bot.memory[o["which"]])
    yield


def drop_foreign(bot, o):
    """Cancel all conditional orders of another module, then place an own stop."""
    for victim in bot.world.resting_of(o["victim"], bot.symbol):
        bot.call("futures_cancel_algo_order", algoId=victim)
    yield
    bot.stop(o["shape"], o["name"])


ROUTINES = {
    routine.__name__: routine
    for routine in (
        target_then_stop,
        clear_then_guard,
        move_stop,
        place_then_drop,
        look_after,
        insist,
        stop_only,
        targets,
        rest_a_close,
        batch,
        close_now,
        modify,
        enter,
        flip,
        drop,
        drop_foreign,
    )
}
