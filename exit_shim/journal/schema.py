"""The tables of the SQLite database."""

import sqlite3
from pathlib import Path
from typing import Final

from exit_shim.journal.hash_chain import seed

SCHEMA_VERSION: Final = 6
APPLICATION_ID: Final = 0x45584954
"""Marks the file as ours: "EXIT" in SQLite's header."""

POS_BITS: Final = 40
POS_MASK: Final = (1 << POS_BITS) - 1

RARE: Final = "event NOT IN ('intent', 'outcome', 'order_findings', 'resolution')"
"""The condition that a query must repeat word by word to use the index of rare events."""

STEP_OF: Final = (
    "coalesce(json_extract(body, '$.account'), '') || ' ' || json_extract(body, '$.symbol') || ' ' || "
    "json_extract(body, '$.position_side')"
)
"""The account and position of an executor's step, as text; a query must repeat it word by word."""

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
CREATE INDEX executor_steps ON events ({STEP_OF}, ts, id) WHERE event = 'executor_step';
CREATE INDEX order_findings ON events (about) WHERE event = 'order_findings';
CREATE TABLE sites (
    site INTEGER PRIMARY KEY,
    module TEXT NOT NULL,
    operation TEXT NOT NULL,
    kind TEXT NOT NULL,
    function TEXT NOT NULL,
    place TEXT NOT NULL,
    via TEXT NOT NULL,
    evidence TEXT NOT NULL,
    UNIQUE (module, operation, kind, function, place, via, evidence)
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
    resolution INTEGER,
    before_ns INTEGER,
    total_ns INTEGER
);
CREATE INDEX orders_by_time ON orders (ts);
CREATE INDEX orders_by_site ON orders (site, ts);
CREATE INDEX orders_by_symbol ON orders (symbol, ts);
CREATE INDEX orders_by_account ON orders (account, ts);
CREATE INDEX orders_by_state ON orders (state, ts);
CREATE TABLE reasons (
    id INTEGER NOT NULL,
    code TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (id, code)
) WITHOUT ROWID;
CREATE INDEX reasons_by_code ON reasons (code);
CREATE TABLE taken (
    id INTEGER NOT NULL,
    victim TEXT NOT NULL,
    orders INTEGER NOT NULL,
    PRIMARY KEY (id, victim)
) WITHOUT ROWID;
CREATE TABLE strays (
    id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (id, number, name)
) WITHOUT ROWID;
CREATE INDEX strays_by_name ON strays (name);
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
CREATE TABLE fights (
    span INTEGER NOT NULL,
    place INTEGER NOT NULL,
    site INTEGER NOT NULL,
    victim TEXT NOT NULL,
    orders INTEGER NOT NULL,
    PRIMARY KEY (span, place, site, victim)
) WITHOUT ROWID;
CREATE TABLE findings (
    span INTEGER NOT NULL,
    place INTEGER NOT NULL,
    code TEXT NOT NULL,
    site INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (span, place, code, site)
) WITHOUT ROWID;
CREATE TABLE latencies (
    span INTEGER NOT NULL,
    place INTEGER NOT NULL,
    measure TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    orders INTEGER NOT NULL,
    sum_ns INTEGER NOT NULL,
    PRIMARY KEY (span, place, measure, bucket)
) WITHOUT ROWID;
CREATE TABLE pruned (
    module TEXT NOT NULL,
    operation TEXT NOT NULL,
    kind TEXT NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL,
    orders INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    PRIMARY KEY (module, operation, kind, mode, state)
) WITHOUT ROWID;
CREATE TABLE positions (
    account TEXT NOT NULL,
    symbol TEXT NOT NULL,
    position_side TEXT NOT NULL,
    is_flat INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    pos INTEGER NOT NULL,
    body TEXT NOT NULL,
    link BLOB NOT NULL,
    PRIMARY KEY (account, symbol, position_side)
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
"""`events` is the record: append-only, chained run by run. All other tables but `shipments` are made from it.

They answer queries by an index: one row per order, the ids that exchange and bot have for it, the guard's
reasons, and the modules whose orders a cancel or change takes (`taken`; an empty name is not known yet, and
`strays` has the ids of such orders). Then the stacks that were seen, and the last sight of each position.
`tally`, `fights`, `findings` and `latencies` are counts per hour and day; `pruned` counts the orders that are
gone. `shipments` says how far each run was copied to other databases.
"""


class JournalError(ValueError):
    """The journal cannot be used; the text names the file, what was expected and the way out."""


class OldSchemaError(JournalError):
    """The journal has the schema of an older release."""


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raise JournalError where a file is not a journal of today's schema; an empty file is none yet."""
    # First, since another process may be making the tables at this moment.
    if is_empty(connection):
        return
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != APPLICATION_ID:
        raise JournalError(
            f"{path} is a database of another program; set EXIT_SHIM_JOURNAL to another path for the journal"
        )
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer exit_shim (schema {version}, expected {SCHEMA_VERSION}); "
            "upgrade exit_shim or set EXIT_SHIM_JOURNAL to another path"
        )
    if is_old(connection):
        raise OldSchemaError(
            f"{path} was written by an older exit_shim (schema {version}, expected {SCHEMA_VERSION}); "
            "the next bot renames it and begins a new journal; read it with the release that wrote it"
        )


def is_old(connection: sqlite3.Connection) -> bool:
    """Return whether an older release has made the tables."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return not is_empty(connection) and bool(version < SCHEMA_VERSION)


def is_empty(connection: sqlite3.Connection) -> bool:
    """Return whether the file has no tables: its maker is about to make them, or died before."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,))


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables, inside the caller's transaction."""
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def add_run(connection: sqlite3.Connection, run_id: str, started: int, header: str) -> None:
    """Add the row of a run, unless it is there."""
    connection.execute(
        "INSERT OR IGNORE INTO runs (run_id, started, header, head, pruned_head) VALUES (?, ?, ?, ?, ?)",
        (run_id, started, header, seed(run_id), seed(run_id)),
    )
