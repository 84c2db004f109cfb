"""Binance's own connector (binance-futures-connector), as far as its exceptions tell of an order."""

from exit_shim.clients.sessions import loaded


def is_connector_error(error: BaseException) -> bool:
    """Return whether an exception is the connector's: its HTTP status is then the exchange's for certain."""
    kinds = (loaded("binance.error", name) for name in ("ClientError", "ServerError"))
    return any(isinstance(kind, type) and isinstance(error, kind) for kind in kinds)
