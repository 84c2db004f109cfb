"""The connector's client: its methods are functions of other modules, in the class's body."""

from binance.api import API


class UMFutures(API):
    from binance.um_futures.account import (
        cancel_open_orders,
        cancel_order,
        modify_order,
        new_batch_order,
        new_order,
        query_order,
    )

    def __init__(self, key=None, secret=None, **kwargs):
        kwargs.setdefault("base_url", "https://fapi.binance.com")
        super().__init__(key, secret, **kwargs)
