"""Modules of a bot, written to disk and imported, so that what the shim finds on the stack is real."""

import importlib.util
import sys
import textwrap

STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "stopPrice": 50000.0,
    "closePosition": True,
}


class FakeClient:
    """Answers every order; picklable, with both kinds of method."""

    def __init__(self):
        self.orders = []

    def futures_create_order(self, **params):
        """Place an order."""
        self.orders.append(params)
        return {"orderId": len(self.orders)}


class FakeAsyncClient:
    """The same with coroutines."""

    def __init__(self):
        self.orders = []

    async def futures_create_order(self, **params):
        """Place an order."""
        self.orders.append(params)
        return {"orderId": len(self.orders)}


def load(folder, dotted, source):
    """Write `source` as the module `dotted` below `folder` and import it from there."""
    path = folder.joinpath(*dotted.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location(dotted, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.pop(dotted, None)
    spec.loader.exec_module(module)
    return module
