"""Turns a position into a plan of exits. It has opinions and no hands: others place the orders."""

PLANS = {
    "BTCUSDT": {"sl_pct": 0.022, "partials": [(0.032, 0.2), (0.042, 0.1)]},
    "ETHUSDT": {"sl_pct": 0.024, "partials": [(0.034, 0.2)]},
    "SOLUSDT": {"sl_pct": 0.026, "partials": [(0.036, 0.25)]},
}
DEFAULT_PLAN = {"sl_pct": 0.025, "partials": [(0.04, 0.25)]}


def build_plan(symbol):
    return PLANS.get(symbol, DEFAULT_PLAN)
