"""The database's tables, and how those of an older release become today's."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from exit_shim.journal.hash_chain import seed
from exit_shim.journal.line_format import Line

SCHEMA_VERSION: Final = 3
APPLICATION_ID: Final = 0x45584954
"""Marks the file as ours: "EXIT" in SQLite's header."""

POS_BITS: Final = 40
POS_MASK: Final = (1 << POS_BITS) - 1

RARE: Final = "event IN ('lost', 'internal_error', 'switch')"
"""What questions for such events must say for their index to answer them."""

FINDINGS_INDEX: Final = "CREATE INDEX findings ON events (about) WHERE event = 'order_findings'"
"""By RUN_ID:SEQ of the order that they are about."""

TABLES: Final = f"""
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    started INTEGER NOT NULL,
    header TEXT NOT NULL,
    pos INTEGER NOT NULL DEFAULT 0,
    head BLOB NOT NULL,
    pruned_pos INTEGER NOT NULL DEFAULT 0,
    pruned_head BLOB NOT NULL,
    segment INTEGER NOT NULL DEFAULT 0,
    offset INTEGER NOT NULL DEFAULT 0,
    ended INTEGER
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    event TEXT NOT NULL,
    about TEXT,
    body TEXT NOT NULL,
    link BLOB NOT NULL,
    run INTEGER GENERATED ALWAYS AS (id >> {POS_BITS}) VIRTUAL,
    pos INTEGER GENERATED ALWAYS AS (id & {POS_MASK}) VIRTUAL
);
CREATE UNIQUE INDEX event_numbers ON events (run, seq);
CREATE INDEX rare_events ON events (event, ts) WHERE {RARE};
{FINDINGS_INDEX};
CREATE TABLE sites (
    site INTEGER PRIMARY KEY,
    module TEXT NOT NULL,
    intent TEXT NOT NULL,
    kind TEXT NOT NULL,
    function TEXT NOT NULL,
    place TEXT NOT NULL,
    via TEXT NOT NULL,
    evidence TEXT NOT NULL,
    UNIQUE (module, intent, kind, function, place, via, evidence)
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    ts INTEGER NOT NULL,
    site INTEGER NOT NULL,
    account TEXT,
    symbol TEXT,
    mode TEXT NOT NULL,
    conflict INTEGER NOT NULL,
    state TEXT NOT NULL,
    outcome INTEGER,
    resolution INTEGER
);
CREATE INDEX orders_by_time ON orders (ts);
CREATE INDEX orders_by_site ON orders (site, ts);
CREATE INDEX orders_by_symbol ON orders (symbol, ts);
CREATE INDEX orders_in_doubt ON orders (ts) WHERE state = 'in doubt';
CREATE TABLE names (
    name TEXT NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (name, id)
) WITHOUT ROWID;
CREATE TABLE tally (
    span INTEGER NOT NULL,
    place INTEGER NOT NULL,
    site INTEGER NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL,
    orders INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    PRIMARY KEY (span, place, site, mode, state)
) WITHOUT ROWID;
CREATE TABLE stacks (
    stack INTEGER PRIMARY KEY,
    module TEXT NOT NULL,
    evidence TEXT NOT NULL,
    chain TEXT NOT NULL,
    last INTEGER NOT NULL,
    UNIQUE (module, evidence, chain)
);
CREATE TABLE shipments (
    destination TEXT NOT NULL,
    run_id TEXT NOT NULL,
    pos INTEGER NOT NULL,
    PRIMARY KEY (destination, run_id)
) WITHOUT ROWID;
"""
"""`events` is the record, append-only and chained run by run. The rest is made from it, so that questions are
answered by an index: one row an order, the names that the exchange and the bot have for it, counts of each
place in the bot by hour and by day, and the stacks that were seen. `shipments` says what other databases have
of a run."""

FIRST_EVENTS: Final = """
SELECT seq, ts, event, concludes & ?, body FROM first_events WHERE id >= ? AND id < ? ORDER BY id
"""


class JournalError(ValueError):
    """The journal cannot be used; the text names the file, the rule and the way out."""


def check_schema(connection: sqlite3.Connection, path: Path) -> int:
    """The file's schema version, 0 for an empty one; JournalError where it cannot be ours."""
    bare = is_bare(connection)  # before the rest: another process may be making the tables at this moment
    application, found = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if not bare and application != APPLICATION_ID:
        raise JournalError(
            f"{path} is a database of something else; set EXIT_SHIM_JOURNAL to another path for the journal"
        )
    if found > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer exit_shim (schema {found}, this one knows {SCHEMA_VERSION}); "
            "upgrade exit_shim or set EXIT_SHIM_JOURNAL to another path"
        )
    return int(found)


def is_bare(connection: sqlite3.Connection) -> bool:
    """Whether the file is empty as yet: made, and its maker not come to the schema, or dead."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,))


def make_tables(connection: sqlite3.Connection) -> None:
    """Make today's tables, inside the caller's transaction."""
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def index_findings(connection: sqlite3.Connection) -> None:
    """Make today's of the tables of schema 2, inside the caller's transaction."""
    connection.execute(FINDINGS_INDEX)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def put_aside_first(connection: sqlite3.Connection) -> None:
    """Move the tables of schema 1 out of the way, inside the caller's transaction."""
    connection.execute("DROP INDEX conclusions")
    connection.execute("ALTER TABLE runs RENAME TO first_runs")
    connection.execute("ALTER TABLE events RENAME TO first_events")


def first_runs(connection: sqlite3.Connection) -> Iterator[tuple[str, int, str, list[Line]]]:
    """What schema 1 holds, a run at a time: its name, start and header, and its events."""
    runs = connection.execute("SELECT run, run_id, started, header FROM first_runs ORDER BY run").fetchall()
    for run, run_id, started, header in runs:
        found = connection.execute(
            FIRST_EVENTS,
            (POS_MASK, run << POS_BITS, run + 1 << POS_BITS),
        )
        lines = [
            Line(seq, ts, event, None if about is None else str(about), body)
            for seq, ts, event, about, body in found
        ]
        yield run_id, started, header, lines


def drop_first(connection: sqlite3.Connection) -> None:
    """Let go of schema 1, once its events are in today's tables."""
    connection.execute("DROP TABLE first_events")
    connection.execute("DROP TABLE first_runs")


def add_run(connection: sqlite3.Connection, run_id: str, started: int, header: str) -> None:
    """Write a run down, once."""
    connection.execute(
        "INSERT OR IGNORE INTO runs (run_id, started, header, head, pruned_head) VALUES (?, ?, ?, ?, ?)",
        (run_id, started, header, seed(run_id), seed(run_id)),
    )
