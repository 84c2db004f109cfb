"""Options that several commands share, and the types of their values."""

import re
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import click
from click.core import ParameterSource

from exit_shim.cli.tables import NANOSECONDS

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

LATEST_NS: Final = 2**63 - 1
"""The last moment that SQLite can hold."""

FROM_VARIABLE: Final = "EXIT_SHIM_FROM"

PASSWORD_IN_DSN: Final = re.compile(r"://[^/@:]*:.+@|password\s*=", re.IGNORECASE)


class PointInTime(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A time in ISO 8601 (UTC where no zone is given), or an age: 90s, 15m, 2h, 7d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nanoseconds since the epoch."""
        if isinstance(value, int):
            return value
        try:
            return to_nanoseconds(parse_time(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time; expected 90s, 15m, 2h, 7d or 2026-11-23T09:30", param, ctx)


def parse_time(text: str) -> datetime:
    """Return the time that a text names; ValueError or OverflowError where it names none."""
    if ago := re.fullmatch(r"(\d+)([smhd])", text, re.ASCII):
        return datetime.now(timezone.utc) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    # Python 3.10 does not read a Z.
    time = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def to_nanoseconds(time: datetime) -> int:
    """Return nanoseconds since the epoch, cut to what a journal can hold."""
    return min(max(int(time.timestamp() * NANOSECONDS), 0), LATEST_NS)


def refuse_password(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse a DSN with a password on the command line, which every user of the host can read."""
    is_typed = ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE
    if value and is_typed and PASSWORD_IN_DSN.search(value):
        raise click.UsageError(
            f"{param.opts[0]} has a password, and every user of this host can read command lines; "
            f"put the DSN into {param.envvar}, or the password into PGPASSWORD or ~/.pgpass"
        )
    return value


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")

since_option = click.option(
    "--since", type=PointInTime(), metavar="T", help="Only orders since T: 15m, 2h, 7d, 2026-11-23."
)

from_option = click.option(
    "--from",
    "dsn",
    metavar="DSN",
    envvar=FROM_VARIABLE,
    callback=refuse_password,
    help="Read all hosts from postgresql://USER@HOST/DATABASE instead of this host's journal.",
)
