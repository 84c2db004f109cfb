"""The central database: the journals of many hosts in one PostgreSQL. Needs the extra `postgres`."""

from exit_shim.postgres.address import Address, PostgresError, UnreachableError
from exit_shim.postgres.background import Background, Shipping
from exit_shim.postgres.following import follow
from exit_shim.postgres.outbox import Outbox
from exit_shim.postgres.schema import migrate
from exit_shim.postgres.shipping import Lag, Shipper

__all__ = [
    "Address",
    "Background",
    "Lag",
    "Outbox",
    "PostgresError",
    "Shipper",
    "Shipping",
    "UnreachableError",
    "follow",
    "migrate",
]
