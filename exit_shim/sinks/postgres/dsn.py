"""Where a PostgreSQL is, and how it is spoken of: never with what opens it."""

import getpass
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from exit_shim.journal import JournalError
from exit_shim.runtime.scrubbing import describe

if TYPE_CHECKING:
    import psycopg

SCHEMES: Final = ("postgresql://", "postgres://")

AMBIGUOUS: Final = re.compile(r"[@/?].*@", re.DOTALL)
"""A password with a raw @, / or ? in it, a part of which libpq would take for a host, and tell everybody."""

SECRET: Final = ("password", "sslpassword")
"""Parts of a DSN that nobody is shown."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "application_name": "exit_shim",
    "connect_timeout": 10,
    # A server that vanished without a word is given up in half a minute, not in two hours.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""What a connection is made with where the DSN says nothing else; all else of it goes to libpq untouched."""


class PostgresError(JournalError):
    """The central database cannot be used; the text names it, what is wrong and the way out."""


class UnreachableError(PostgresError):
    """It cannot be reached now; later it may."""


def driver() -> Any:
    """The module psycopg, an extra; PostgresError with the way to get it where it is missing."""
    try:
        import psycopg  # noqa: PLC0415 - an extra, which only those pay for who use it
    except ImportError as missing:
        raise PostgresError(
            f"PostgreSQL needs psycopg ({missing}): pip install 'exit_shim[postgres]'"
        ) from None
    return psycopg


class Dsn:
    """A database by its DSN.

    `name` is the DSN without user and secrets, the same for everybody who ships there: it may be shown,
    logged and kept. The DSN itself stays in here.

    Raises:
        PostgresError: It is no DSN, or psycopg is missing. The text quotes nothing of it.
    """

    def __init__(self, dsn: str) -> None:
        self._psycopg = driver()
        if not dsn.startswith(SCHEMES):
            raise PostgresError(
                "that is no address of a PostgreSQL; write postgresql://USER@HOST:PORT/DATABASE"
            )
        try:
            if AMBIGUOUS.search(dsn.partition("://")[2]):
                raise self._psycopg.ProgrammingError
            given = self._psycopg.conninfo.conninfo_to_dict(dsn)
        except self._psycopg.Error:  # its text quotes the DSN, password and all
            raise PostgresError(
                "that address of a PostgreSQL cannot be read; write postgresql://USER@HOST:PORT/DATABASE, "
                "with %-escapes for what has a meaning in URIs"
            ) from None
        self._dsn = dsn
        self._options = {key: value for key, value in DEFAULTS.items() if key not in given}
        self._secrets = [str(given[key]) for key in SECRET if given.get(key)]
        self.name = _name(given)

    def __repr__(self) -> str:
        return f"Address({self.name!r})"

    def connect(self) -> "psycopg.Connection[Any]":
        """A connection in autocommit; UnreachableError where there is none to be had."""
        try:
            return self._psycopg.connect(  # type: ignore[no-any-return]
                self._dsn,
                autocommit=True,
                prepare_threshold=None,  # poolers hand a session's prepared statements to strangers
                client_encoding="UTF8",
                **self._options,
            )
        except self._psycopg.Error as error:
            raise UnreachableError(f"{self.name} cannot be reached: {self.told(error)}") from None

    def told(self, error: Exception) -> str:
        """An error's text on one line, without secrets."""
        return " ".join(describe(error, self._secrets).split())


def _name(given: Mapping[str, Any]) -> str:
    """`postgresql://HOST:PORT/DATABASE`, with libpq's defaults for what is not given."""
    environ = os.environ
    host = given.get("host") or given.get("hostaddr") or given.get("service")
    user = given.get("user") or environ.get("PGUSER") or _login()
    database = given.get("dbname") or environ.get("PGDATABASE") or user
    port = given.get("port") or environ.get("PGPORT") or "5432"
    host = quote(str(host or environ.get("PGHOST") or "localhost"), safe=",:[]")
    return f"postgresql://{host}:{port}/{quote(str(database), safe='')}"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
