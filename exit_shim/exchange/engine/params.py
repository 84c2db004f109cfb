"""Request parameters as they arrive: text that may be missing, empty or not what it should be."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal

from .errors import CLIENT_ID_TOO_LONG, ILLEGAL_CHARACTERS, MANDATORY, Refusal

_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
_INTEGER = re.compile(r"[0-9]{1,18}")
_CLIENT_ID_RANGE = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]+")
_CLIENT_ID_LENGTH = 36


class Params:
    """Read request parameters one at a time; each reader raises the exchange's own error.

    An empty value is the same as none. Numbers in scientific notation are malformed (-1102).
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """Return a value, or None when it was not sent or is empty."""
        return self._values.get(name) or None

    def renamed(self, names: Mapping[str, str], **added: str) -> Params:
        """Return these parameters under other names; a parameter that had a new name before is dropped."""
        taken = set(names.values())
        kept = {names.get(name, name): value for name, value in self._values.items() if name not in taken}
        return Params({**kept, **added})

    def required(self, name: str) -> str:
        """Return a mandatory value.

        Raises:
            ExchangeError: -1102, with the name in lower case as production has it.
        """
        value = self.text(name)
        if value is None:
            raise MANDATORY.error(name.lower())
        return value

    def decimal(self, name: str) -> Decimal | None:
        """Return a number, or None when it was not sent."""
        value = self.text(name)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value):
            raise MANDATORY.error(name.lower())
        return Decimal(value)

    def required_decimal(self, name: str) -> Decimal:
        """Return a mandatory number."""
        value = self.decimal(name)
        if value is None:
            raise MANDATORY.error(name.lower())
        return value

    def integer(self, name: str) -> int | None:
        """Return a whole number, or None when it was not sent."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise MANDATORY.error(name.lower())
        return int(value)

    def required_integer(self, name: str) -> int:
        """Return a mandatory whole number."""
        value = self.integer(name)
        if value is None:
            raise MANDATORY.error(name.lower())
        return value

    def boolean(self, name: str, refusal: Refusal | None = None) -> bool | None:
        """Return true or false in any case ("True" is what python-binance sends), None when not sent."""
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in {"true", "false"}:
            raise refusal.error() if refusal else MANDATORY.error(name.lower())
        return value.lower() == "true"

    def choice(self, name: str, allowed: Collection[str], refusal: Refusal) -> str | None:
        """Return one of the allowed words, or None when it was not sent."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise refusal.error() if "%" not in refusal.text else refusal.error(name)
        return value

    def client_id(self, name: str) -> str | None:
        """Return a client id, or None when it was not sent.

        Raises:
            ExchangeError: -4015 when too long, -1100 with characters outside the legal range.
        """
        value = self.text(name)
        if value is None:
            return None
        if len(value) > _CLIENT_ID_LENGTH:
            raise CLIENT_ID_TOO_LONG.error()
        if not _CLIENT_ID.fullmatch(value):
            raise ILLEGAL_CHARACTERS.error(name, _CLIENT_ID_RANGE)
        return value
