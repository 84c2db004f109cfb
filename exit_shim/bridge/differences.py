"""What still differs for a bot of before 2025-12-09 that lives on today's exchange through the bridge."""

from collections.abc import Mapping
from typing import Final

DIFFERENCES: Final[Mapping[str, str]] = {
    "numbers": "Quantities and prices of conditional orders may have fewer zeros: `0.05` for `0.050`.",
    "average": "Answers to placing and cancelling have no `avgPrice` and `cumQuote`, as all such answers "
    "since 2026-06-30.",
    "more_fields": "Answers about conditional orders have the fields of the Algo Service besides: `algoId`, "
    "`clientAlgoId`, `algoStatus`, `triggerPrice`, and `actualOrderId` once they fired.",
    "no_position": "A stop with `closePosition` and no position is refused with -4509, not -4129; also "
    "beside an order that may open the position, where it was taken.",
    "margin": "Margin is checked when an order fires, not when it is placed.",
    "name_in_both": "One client order id may rest in both stores at once; it was refused with -4116.",
    "cancelled_time": "The answer to a cancel has the `updateTime` of the placing.",
    "test_order": "`order/test` refuses conditional orders with -4120: Binance has no test for them.",
    "batch_lists": "A batch that is a list and has conditional orders is placed by old releases too; Binance "
    "refuses the way in which these write lists.",
    "error_texts": "Texts of refusals name fields as the Algo Service does, such as `triggerprice`.",
}
"""Each by the name that tests excuse it by."""
