"""Everything tunable lives here. Most of it was tuned once, by somebody, for a market long gone."""

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
LEVERAGE = 5
ROUNDS = 4
PAUSE = 0.01  # seconds between modules

# What the strategy side hands over when the bot comes up.
SIGNALS = [
    {"symbol": "BTCUSDT", "direction": "LONG", "quantity": 0.01, "style": "market"},
    {"symbol": "ETHUSDT", "direction": "LONG", "quantity": 0.1, "style": "limit"},
    {"symbol": "SOLUSDT", "direction": "SHORT", "quantity": 4, "style": "market"},
]

# event_driven_executor. Negative since the settings moved into the risk desk's sheet, which writes losses
# with a minus sign. The formula that reads it still subtracts.
EMERGENCY_SL_PCT = -0.025
EMERGENCY_SL_RETRY_PCT = 0.03

# position_monitor
INITIAL_PARTIAL_TP_PCT = 0.03
INITIAL_PARTIAL_TP_SHARE = 0.25
TRAILING_ACTIVATION_PCT = 0.01
TRAILING_CALLBACK_RATE = 2.0  # per cent, as the exchange wants it
FIXED_SL_PCT = 0.025

# trailing_stop_manager
TRAIL_PCT = 0.02

# hybrid_tpsl
HYBRID_SL_PCT = 0.028
HYBRID_TP_PCT = 0.06
HYBRID_PARTIAL_TP_PCT = 0.035
LADDER_SYMBOL = "BTCUSDT"
LADDER_STEPS = [0.04, 0.05]
BREAKEVEN_SYMBOLS = ["ETHUSDT", "SOLUSDT"]
BREAKEVEN_ROUND = 3
BREAKEVEN_FEES_PCT = 0.001
BREAKEVEN_MIN_GAP_PCT = 0.006

# dynamic_trailing_rearm
REARM_EVERY = 3  # rounds; the first wave comes with round 1
REARM_CALLBACK_RATE = 1.8
REARM_ACTIVATION_PCT = 0.012

# exposure_guard
GUARD_ROUND = 1
MAX_QUANTITY = {"BTCUSDT": 0.009, "SOLUSDT": 3}
SCALE_OUT_SYMBOL = "ETHUSDT"
SCALE_OUT_PCT = 0.045
SCALE_OUT_SHARE = 0.2
