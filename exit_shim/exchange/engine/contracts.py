"""The table of contracts in contracts.json: names, leverage tiers of September 2026, and opening prices."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from importlib import resources

import msgspec

from .brackets import Bracket, Tier, make_brackets


class ContractRow(msgspec.Struct, frozen=True, array_like=True):
    """A contract: `tiers` is the place of its table of tiers, `price` a plausible price if one is known."""

    base: str
    quote: str
    tiers: int
    price: Decimal | None = None

    @property
    def name(self) -> str:
        """Return the name in requests, such as BTCUSDT."""
        return f"{self.base}{self.quote}"


class ContractTable(msgspec.Struct, frozen=True):
    """All contracts, the best known first; the first `leading` of them are the default symbols.

    The tables of tiers are sorted by how many contracts share them, the most frequent first.
    """

    leading: int
    tiers: tuple[tuple[Tier, ...], ...]
    contracts: tuple[ContractRow, ...]


@cache
def read_contracts() -> ContractTable:
    """Read the table, once in a process."""
    data = resources.files(__package__).joinpath("contracts.json").read_bytes()
    return msgspec.json.decode(data, type=ContractTable)


@cache
def brackets_at(place: int) -> tuple[Bracket, ...]:
    """Return the brackets of the table of tiers at a place."""
    return make_brackets(read_contracts().tiers[place])


def deepest_brackets() -> tuple[Bracket, ...]:
    """Return the brackets of the first contract, which permits the largest positions."""
    return brackets_at(read_contracts().contracts[0].tiers)
