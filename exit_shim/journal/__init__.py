"""The durable record of one host: written before an order leaves, append-only and chained.

Each event is first appended to a file of its run (`spool`), without other processes' locks, so it survives
`kill -9`; with `sync="power"` a power failure too. A moment later it is copied into SQLite (`drain`,
`ingest`). If the process dies in between, the next command or bot finishes the copy (`recovery`).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exit_shim.journal.default_path import default_journal_path, journal_path, state_folder, with_home
    from exit_shim.journal.health import Condition, examine
    from exit_shim.journal.log_writer import Health, Journal
    from exit_shim.journal.order_state import IN_DOUBT, OrderSite, state_of
    from exit_shim.journal.overflow import MAX_WAITING
    from exit_shim.journal.queries import JournalReader, count_records, read_records
    from exit_shim.journal.record_source import (
        Count,
        RecordFilter,
        RecordSource,
        Run,
        Stack,
        StoredEvent,
        StoredStep,
    )
    from exit_shim.journal.retention import Pruned, prune
    from exit_shim.journal.schema import SCHEMA_VERSION, JournalError
    from exit_shim.journal.spool import Sync, living_runs
    from exit_shim.journal.verify import Flaw, Numbers, verify_run
else:
    # Commands that only read the journal must not wait for the rest.
    from exit_shim.runtime.lazy_names import on_first_use

    __getattr__ = on_first_use(
        __name__,
        {
            "exit_shim.journal.default_path": (
                "default_journal_path",
                "journal_path",
                "state_folder",
                "with_home",
            ),
            "exit_shim.journal.health": ("Condition", "examine"),
            "exit_shim.journal.log_writer": ("Health", "Journal"),
            "exit_shim.journal.order_state": ("IN_DOUBT", "OrderSite", "state_of"),
            "exit_shim.journal.overflow": ("MAX_WAITING",),
            "exit_shim.journal.queries": ("JournalReader", "count_records", "read_records"),
            "exit_shim.journal.record_source": (
                "Count",
                "RecordFilter",
                "RecordSource",
                "Run",
                "Stack",
                "StoredEvent",
                "StoredStep",
            ),
            "exit_shim.journal.retention": ("Pruned", "prune"),
            "exit_shim.journal.schema": ("SCHEMA_VERSION", "JournalError"),
            "exit_shim.journal.spool": ("Sync", "living_runs"),
            "exit_shim.journal.verify": ("Flaw", "Numbers", "verify_run"),
        },
    )

__all__ = [
    "IN_DOUBT",
    "MAX_WAITING",
    "SCHEMA_VERSION",
    "Condition",
    "Count",
    "Flaw",
    "Health",
    "Journal",
    "JournalError",
    "JournalReader",
    "Numbers",
    "OrderSite",
    "Pruned",
    "RecordFilter",
    "RecordSource",
    "Run",
    "Stack",
    "StoredEvent",
    "StoredStep",
    "Sync",
    "count_records",
    "default_journal_path",
    "examine",
    "journal_path",
    "living_runs",
    "prune",
    "read_records",
    "state_folder",
    "state_of",
    "verify_run",
    "with_home",
]
