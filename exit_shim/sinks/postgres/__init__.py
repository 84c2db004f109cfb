"""Copy the journals of many hosts into one PostgreSQL. Needs the extra `postgres`."""

from exit_shim.sinks.postgres.background import Background, Shipping
from exit_shim.sinks.postgres.dsn import Dsn, PostgresError, UnreachableError
from exit_shim.sinks.postgres.follow import ship_continuously
from exit_shim.sinks.postgres.outbox import Outbox
from exit_shim.sinks.postgres.schema import migrate
from exit_shim.sinks.postgres.shipper import Lag, Shipper

__all__ = [
    "Background",
    "Dsn",
    "Lag",
    "Outbox",
    "PostgresError",
    "Shipper",
    "Shipping",
    "UnreachableError",
    "migrate",
    "ship_continuously",
]
