"""Every refusal the exchange can answer with: its code, its text and its HTTP status.

Texts are those of Binance's USDⓈ-M error-code page, or of production answers where the page is silent
(-4120, -4130, -4136, -4509). A text is a `%` template; parameter names in it are lower-cased as on
production.
"""

from __future__ import annotations

from dataclasses import dataclass


class ExchangeError(Exception):
    """The refusal of a request; `payload()` is the JSON body of the answer.

    Attributes:
        code: the negative Binance code, such as -2021.
        msg: the text.
        http_status: the status of the HTTP answer, 400 for most.
    """

    def __init__(self, code: int, msg: str, http_status: int = 400) -> None:
        super().__init__(code, msg, http_status)
        self.code = code
        self.msg = msg
        self.http_status = http_status

    def payload(self) -> dict[str, object]:
        """Return `{"code": int, "msg": str}`."""
        return {"code": self.code, "msg": self.msg}


@dataclass(frozen=True)
class Refusal:
    """One code of Binance's error page, with its text and HTTP status."""

    code: int
    text: str
    http_status: int = 400

    def error(self, *values: object) -> ExchangeError:
        """Return the exception to raise, with `values` filled into the text."""
        return ExchangeError(self.code, self.text % values if values else self.text, self.http_status)

    def reason_of(self, error: ExchangeError) -> str:
        """Return the reason at the end of an error's text."""
        return error.msg.removeprefix(self.text.partition("%")[0])


UNKNOWN = Refusal(-1000, "An unknown error occurred while processing the request.", 500)
TOO_MANY_REQUESTS = Refusal(
    -1003,
    "Too many requests; current limit is %s requests per minute. "
    "Please use the websocket for live updates to avoid polling the API.",
    429,
)
BANNED = Refusal(
    -1003,
    "Way too many requests; IP(%s) banned until %s. Please use the websocket for live updates to avoid bans.",
    418,
)
TOO_MANY_ORDERS = Refusal(-1015, "Too many new orders; current limit is %s orders per %s.", 429)
UNSUPPORTED = Refusal(-1020, "This operation is not supported. %s")
INVALID_TIMESTAMP = Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
TIMESTAMP_AHEAD = Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
INVALID_SIGNATURE = Refusal(-1022, "Signature for this request is not valid.")
ILLEGAL_CHARACTERS = Refusal(-1100, "Illegal characters found in parameter '%s'; legal range is '%s'.")
ILLEGAL_REQUEST = Refusal(-1100, "Illegal characters found in a parameter.")
MANDATORY = Refusal(-1102, "Mandatory parameter '%s' was not sent, was empty/null, or malformed.")
EITHER = Refusal(-1102, "Param '%s' or '%s' must be sent, but both were empty/null!")
NOT_REQUIRED = Refusal(-1106, "Parameter '%s' sent when not required.")
PRECISION = Refusal(-1111, "Precision is over the maximum defined for this asset.")
INVALID_TIME_IN_FORCE = Refusal(-1115, "Invalid timeInForce.")
INVALID_ORDER_TYPE = Refusal(-1116, "Invalid orderType.")
INVALID_SIDE = Refusal(-1117, "Invalid side.")
INVALID_SYMBOL = Refusal(-1121, "Invalid symbol.")
INVALID_LISTEN_KEY = Refusal(-1125, "This listenKey does not exist.")
LONGEST_HOURS = Refusal(-1127, "More than %s hours between startTime and endTime.")
BAD_COMBINATION = Refusal(-1128, "Combination of optional parameters invalid.")
INVALID_PARAMETER = Refusal(-1130, "Data sent for parameter '%s' is not valid.")
INVALID_RESPONSE_TYPE = Refusal(-1136, "Invalid newOrderRespType.")
BAD_INTERVAL = Refusal(-1120, "Invalid interval.")
START_AFTER_END = Refusal(-1023, "Start time is greater than end time.")
INVALID_CALLBACK_RATE = Refusal(-2007, "Invalid callBack rate.")
UNKNOWN_ORDER = Refusal(-2011, "Unknown order sent.")
NO_SUCH_ORDER = Refusal(-2013, "Order does not exist.")
BAD_API_KEY_FORMAT = Refusal(-2014, "API-key format invalid.", 401)
REJECTED_API_KEY = Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
REJECTED_ADDRESS = Refusal(-2015, "Invalid API-key, IP, or permissions for action, request ip: %s", 401)
BALANCE_INSUFFICIENT = Refusal(-2018, "Balance is insufficient.")
MARGIN_INSUFFICIENT = Refusal(-2019, "Margin is insufficient.")
WOULD_TRIGGER = Refusal(-2021, "Order would immediately trigger.")
REDUCE_ONLY_REJECTED = Refusal(-2022, "ReduceOnly Order is rejected.")
MAX_OPEN_ORDERS = Refusal(-2025, "Reach max open order limit.")
MAX_POSITION = Refusal(-2027, "Exceeded the maximum allowable position at current leverage.")
LEVERAGE_TOO_SMALL = Refusal(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
PRICE_NEGATIVE = Refusal(-4001, "Price less than 0.")
PRICE_TOO_HIGH = Refusal(-4002, "Price greater than max price.")
QUANTITY_NEGATIVE = Refusal(-4003, "Quantity less than zero.")
QUANTITY_TOO_SMALL = Refusal(-4004, "Quantity less than min quantity.")
QUANTITY_TOO_LARGE = Refusal(-4005, "Quantity greater than max quantity.")
STOP_PRICE_NEGATIVE = Refusal(-4006, "Stop price less than zero.")
STOP_PRICE_TOO_HIGH = Refusal(-4007, "Stop price greater than max price.")
PRICE_TOO_LOW = Refusal(-4013, "Price less than min price.")
PRICE_OFF_TICK = Refusal(-4014, "Price not increased by tick size.")
CLIENT_ID_TOO_LONG = Refusal(-4015, "Client order id length should not be more than 36 chars")
PRICE_OVER_CAP = Refusal(-4016, "Price is higher than mark price multiplier cap.")
INVALID_DEPTH_LIMIT = Refusal(-4021, "'%s' is not valid depth limit.")
QUANTITY_OFF_STEP = Refusal(-4023, "Qty not increased by step size.")
PRICE_UNDER_FLOOR = Refusal(-4024, "Price is lower than mark price multiplier floor.")
INVALID_LEVERAGE = Refusal(-4028, "Leverage %s is not valid")
INVALID_WORKING_TYPE = Refusal(-4031, "Invalid parameter working type: %s")
TOO_MANY_CANCELS = Refusal(-4032, "Exceed maximum cancel order size.")
MAX_STOP_ORDERS = Refusal(-4045, "Reach max stop order limit.")
SAME_MARGIN_TYPE = Refusal(-4046, "No need to change margin type.")
MARGIN_TYPE_HAS_ORDERS = Refusal(-4047, "Margin type cannot be changed if there exists open orders.")
MARGIN_TYPE_HAS_POSITION = Refusal(-4048, "Margin type cannot be changed if there exists position.")
MARGIN_OF_CROSS_POSITION = Refusal(-4049, "Add margin only support for isolated position.")
CROSS_BALANCE_INSUFFICIENT = Refusal(-4050, "Cross balance insufficient.")
ISOLATED_BALANCE_INSUFFICIENT = Refusal(-4051, "Isolated balance insufficient.")
MARGIN_WITHOUT_POSITION = Refusal(-4054, "Cannot add position margin: position is 0.")
AMOUNT_NOT_POSITIVE = Refusal(-4055, "Amount must be positive.")
SAME_POSITION_SIDE_MODE = Refusal(-4059, "No need to change position side.")
INVALID_POSITION_SIDE = Refusal(-4060, "Invalid position side.")
POSITION_SIDE_MISMATCH = Refusal(-4061, "Order's position side does not match user's setting.")
INVALID_REDUCE_ONLY = Refusal(-4062, "Invalid or improper reduceOnly value.")
POSITION_SIDE_HAS_ORDERS = Refusal(-4067, "Position side cannot be changed if there exists open orders.")
POSITION_SIDE_HAS_POSITION = Refusal(-4068, "Position side cannot be changed if there exists position.")
INVALID_BATCH_SIZE = Refusal(-4082, "Invalid number of batch place orders.")
ONLY_REDUCE_PERMITTED = Refusal(-4087, "User can only place reduce only order")
NO_ORDER_PERMITTED = Refusal(-4088, "User can not place order currently")
DUPLICATE_CLIENT_ID = Refusal(-4116, "ClientOrderId is duplicated.")
STOP_IS_TRIGGERING = Refusal(-4117, "stop order is triggering")
REDUCE_ONLY_FAILED = Refusal(
    -4118, "ReduceOnly Order Failed. Please check your existing position and open orders."
)
USE_ALGO_SERVICE = Refusal(
    -4120,
    "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
)
NO_POSITION_OR_ORDER_FOR_GTE = Refusal(
    -4129,
    "Time in Force (TIF) GTE can only be used with open positions or open orders. "
    "Please ensure that open orders or positions are available.",
)
CLOSE_POSITION_EXISTS = Refusal(
    -4130,
    "An open stop or take profit order with GTE and closePosition in the direction is existing.",
)
MARKET_REJECTED = Refusal(-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit")
INVALID_ACTIVATION_PRICE = Refusal(-4135, "Invalid activation price")
CLOSE_POSITION_TYPE = Refusal(-4136, "Target strategy invalid for orderType %s,closePosition true")
CLOSE_POSITION_QUANTITY = Refusal(-4137, "Quantity must be zero with closePosition equals true")
CLOSE_POSITION_REDUCE_ONLY = Refusal(-4138, "Reduce only must be true with closePosition equals true")
NOT_FOR_OPENING = Refusal(-4140, "Invalid symbol status for opening position")
SYMBOL_CLOSED = Refusal(-4141, "Symbol is closed")
LOWER_LEVERAGE_ISOLATED = Refusal(
    -4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions"
)
MIN_NOTIONAL = Refusal(-4164, "Order's notional must be no smaller than %s (unless you choose reduce only)")
LONGEST_INTERVAL = Refusal(-4165, "Maximum time interval is %s days")
MULTI_ASSETS_WITH_ISOLATED = Refusal(
    -4167,
    "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode.",
)
ISOLATED_WITH_MULTI_ASSETS = Refusal(
    -4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode."
)
MULTI_ASSETS_WITH_ORDERS = Refusal(
    -4170, "Unable to adjust Multi-Assets Mode with open orders in USDⓈ-M Futures."
)
SAME_ASSETS_MODE = Refusal(
    -4171, "Adjusted asset mode is currently set and does not need to be adjusted repeatedly."
)
COOLING_OFF = Refusal(-4192, "Trade forbidden due to Cooling-off Period.")
QUANTITATIVE_RULES = Refusal(
    -4400,
    "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, please try again later.",
)
LARGE_POSITION = Refusal(
    -4401,
    "Futures Trading Risk Control Rules of large position holding violated, "
    "only reduceOnly order is allowed, please reduce the position. .",
)
NO_POSITION_FOR_GTE = Refusal(
    -4509,
    "Time in Force (TIF) GTE can only be used with open positions. "
    "Please ensure that positions are available.",
)
INVALID_PATH = Refusal(-5000, "Path %s, Method %s is invalid", 404)
RETIRED_PATH = Refusal(-5000, "%s is retired, please use %s", 404)
TRANSFER_INSUFFICIENT = Refusal(-5013, "Asset transfer failed: insufficient balance")
FILL_OR_KILL_REJECTED = Refusal(
    -5021,
    "Due to the order could not be filled immediately, the FOK order has been rejected. "
    "The order will not be recorded in the order history",
)
POST_ONLY_REJECTED = Refusal(
    -5022,
    "Due to the order could not be executed as maker, the Post Only order will be rejected. "
    "The order will not be recorded in the order history",
)
NOT_TRADING_TO_MODIFY = Refusal(-5024, "Symbol is not in trading status. Order amendment is not permitted.")
TOO_MANY_EDITS = Refusal(-5026, "Exceed maximum modify order limit.")
NOTHING_TO_MODIFY = Refusal(-5027, "No need to modify the order.")
OUTSIDE_ENGINE_WINDOW = Refusal(-5028, "Timestamp for this request is outside of the ME recvWindow.")
NOT_REDUCE_ONLY = Refusal(-5047, "The original order is not a reduce-only order")
INVALID_PRICE_MATCH = Refusal(-5037, "Invalid price match")
PRICE_MATCH_TYPE = Refusal(-5038, "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT")
INVALID_SELF_TRADE_PREVENTION = Refusal(-5039, "Invalid self trade prevention mode")
BAD_GOOD_TILL_DATE = Refusal(
    -5040,
    "The goodTillDate timestamp must be greater than the current time plus 600 seconds "
    "and smaller than 253402300799000 (UTC 9999-12-31 23:59:59)",
)
NO_DEPTH_FOR_PRICE_MATCH = Refusal(-5041, "No depth matches this BBO order")
