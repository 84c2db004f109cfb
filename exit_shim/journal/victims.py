"""Whose orders a cancel or change takes: the modules of its targets, also those placed by another process."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from exit_shim.domain.events import Intent
from exit_shim.journal.insertion import insert_rows
from exit_shim.journal.order_state import names_of
from exit_shim.journal.rollups import FIGHTS, TAKEN_STATES, Changes

UNKNOWN: Final = ""
"""The victim of a target of which nobody knows who placed it."""

ADD_TAKEN: Final = "INSERT INTO taken (id, victim, orders)"

ADD_UP: Final = "ON CONFLICT (id, victim) DO UPDATE SET orders = orders + excluded.orders"

ADD_STRAYS: Final = "INSERT OR IGNORE INTO strays (id, number, name)"

# Of several orders that had this id, the last one before the cancel is meant.
PLACED_BY: Final = """
SELECT strays.id, strays.number, cancels.ts, cancels.site, cancels.state, mine.module, theirs.module
FROM strays
JOIN orders AS cancels ON cancels.id = strays.id
JOIN sites AS mine ON mine.site = cancels.site
JOIN names ON names.name = strays.name
JOIN orders AS placed ON placed.id = names.id
JOIN sites AS theirs ON theirs.site = placed.site
WHERE {which} AND theirs.operation = 'place' AND placed.account IS cancels.account
AND (cancels.symbol IS NULL OR placed.symbol IS cancels.symbol) AND placed.ts <= cancels.ts
ORDER BY placed.ts, placed.id
"""

OF_NEW_CANCELS: Final = "strays.id BETWEEN :first AND :last"

OF_NEW_NAMES: Final = "strays.name IN (SELECT value FROM json_each(:names))"


class Victims:
    """The victims of the cancels and changes that are folded at once.

    Args:
        connection: The database.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._strays: list[tuple[int, int, str]] = []

    def look_up(self, cancels: Collection[int]) -> Mapping[int, Counter[str]]:
        """Return the victims of earlier cancels and changes."""
        victims: defaultdict[int, Counter[str]] = defaultdict(Counter)
        question = "SELECT id, victim, orders FROM taken WHERE id IN (SELECT value FROM json_each(?))"
        if cancels:
            for cancel, victim, orders in self._connection.execute(question, (json.dumps([*cancels]),)):
                victims[cancel][victim] = orders
        return victims

    def add(self, cancel: int, intent: Intent) -> Counter[str]:
        """Return the victims of a new cancel or change, as far as it knows them itself."""
        victims: Counter[str] = Counter()
        for number, target in enumerate(intent.targets):
            if target.module != intent.attribution.module:
                victims[target.module or UNKNOWN] += 1
            if not target.module:
                names = [str(name) for name in names_of(target) if name is not None]
                self._strays += [(cancel, number, name) for name in names]
        return victims

    def write(
        self, new: Iterable[tuple[int, Mapping[str, int]]], placed: Collection[str], changes: Changes
    ) -> None:
        """Write the victims of new cancels; find out who placed what, now that more orders are known.

        Args:
            new: The new orders, each with its victims.
            placed: The ids that are new, of orders that were placed.
            changes: Takes what that changes in the counts.
        """
        taken = [(cancel, victim, orders) for cancel, by in new for victim, orders in by.items()]
        insert_rows(self._connection, ADD_TAKEN, taken)
        insert_rows(self._connection, ADD_STRAYS, self._strays)
        if self._strays:
            bounds = {"first": min(self._strays)[0], "last": max(self._strays)[0]}
            self._name(OF_NEW_CANCELS, bounds, changes)
        if placed and self._connection.execute("SELECT EXISTS (SELECT 1 FROM strays)").fetchone()[0]:
            self._name(OF_NEW_NAMES, {"names": json.dumps(placed)}, changes)

    def _name(self, which: str, values: Mapping[str, object], changes: Changes) -> None:
        rows = self._connection.execute(PLACED_BY.format(which=which), values).fetchall()
        named = {(cancel, number): row for cancel, number, *row in rows}
        moved: Counter[tuple[int, str]] = Counter()
        for (cancel, _), (ts, site, state, module, victim) in named.items():
            moved[cancel, UNKNOWN] -= 1
            moved[cancel, victim] += victim != module
            if state in TAKEN_STATES:
                changes.add(FIGHTS, ts, (site, UNKNOWN), -1)
                changes.add(FIGHTS, ts, (site, victim), int(victim != module))
        taken = [(*key, orders) for key, orders in moved.items() if orders]
        insert_rows(self._connection, ADD_TAKEN, taken, ADD_UP)
        self._connection.executemany("DELETE FROM strays WHERE id = ? AND number = ?", list(named))
