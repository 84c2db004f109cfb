"""Connect to a PostgreSQL by its DSN, and name it without its secrets."""

import getpass
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from exit_shim.journal import JournalError
from exit_shim.runtime.scrubbing import describe as describe_error

if TYPE_CHECKING:
    import psycopg

SCHEMES: Final = ("postgresql://", "postgres://")

AMBIGUOUS: Final = re.compile(r"[@/?].*@", re.DOTALL)
"""A password with a raw @, / or ?: libpq would take a part of it for a host, and print it."""

SECRET: Final = ("password", "sslpassword")
"""The parts of a DSN that are secret."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "application_name": "exit_shim",
    "connect_timeout": 10,
    # A server that vanished is fields up after half a minute, not after two hours.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""The options of a connection where the DSN has no other; the DSN itself goes to libpq unchanged."""


class PostgresError(JournalError):
    """The central database cannot be used; the text names it, what is wrong and the way out."""


class UnreachableError(PostgresError):
    """The central database cannot be reached now."""


def driver() -> Any:
    """Import and return psycopg; raise PostgresError where it is missing."""
    try:
        # An extra: only those who use it pay for the import.
        import psycopg  # noqa: PLC0415
    except ImportError as missing:
        raise PostgresError(
            f"PostgreSQL needs psycopg ({missing}): pip install 'exit_shim[postgres]'"
        ) from None
    return psycopg


class Dsn:
    """A database by its DSN.

    `name` is the DSN without user and secrets, the same for everybody who ships there: it may be logged.

    Raises:
        PostgresError: The DSN is invalid, or psycopg is missing. The text quotes nothing of the DSN.
    """

    def __init__(self, dsn: str) -> None:
        self._psycopg = driver()
        if not dsn.startswith(SCHEMES):
            raise PostgresError("not a PostgreSQL DSN; expected postgresql://USER@HOST:PORT/DATABASE")
        try:
            if AMBIGUOUS.search(dsn.partition("://")[2]):
                raise self._psycopg.ProgrammingError
            fields = self._psycopg.conninfo.conninfo_to_dict(dsn)
        # The text of the error quotes the DSN, password included.
        except self._psycopg.Error:
            raise PostgresError(
                "cannot read this PostgreSQL DSN; expected postgresql://USER@HOST:PORT/DATABASE, "
                "with %-escapes for characters that have a meaning in URIs"
            ) from None
        self._dsn = dsn
        self._options = {key: value for key, value in DEFAULTS.items() if key not in fields}
        self._secrets = [str(fields[key]) for key in SECRET if fields.get(key)]
        self.name = _name(fields)

    def __repr__(self) -> str:
        return f"Dsn({self.name!r})"

    def connect(self) -> "psycopg.Connection[Any]":
        """Return a connection in autocommit; raise UnreachableError where that fails."""
        try:
            return self._psycopg.connect(  # type: ignore[no-any-return]
                self._dsn,
                autocommit=True,
                # Poolers mix up the prepared statements of their clients.
                prepare_threshold=None,
                client_encoding="UTF8",
                **self._options,
            )
        except self._psycopg.Error as error:
            raise UnreachableError(f"{self.name} cannot be reached: {self.describe(error)}") from None

    def describe(self, error: Exception) -> str:
        """Return an error's text on one line, without secrets."""
        return " ".join(describe_error(error, self._secrets).split())


def _name(fields: Mapping[str, Any]) -> str:
    """Return `postgresql://HOST:PORT/DATABASE`, with libpq's defaults."""
    environ = os.environ
    host = fields.get("host") or fields.get("hostaddr") or fields.get("service")
    user = fields.get("user") or environ.get("PGUSER") or _login()
    database = fields.get("dbname") or environ.get("PGDATABASE") or user
    port = fields.get("port") or environ.get("PGPORT") or "5432"
    host = quote(str(host or environ.get("PGHOST") or "localhost"), safe=",:[]")
    return f"postgresql://{host}:{port}/{quote(str(database), safe='')}"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
