"""The durable record: written before an order leaves, append-only and chained, shared by one host.

An event is a line in its run's spool first (`spool`), and a row of the SQLite database a moment later
(`moving`, `ingesting`). What was appended survives the death of the process at any instruction; with
`sync="power"` the loss of power too. One database serves all processes of a host.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exit_shim.journal.default_path import default_journal_path, journal_path, state_folder, with_home
    from exit_shim.journal.health import Condition, examine
    from exit_shim.journal.index_tables import IN_DOUBT, OrderSite, state_of
    from exit_shim.journal.log_writer import Health, Journal
    from exit_shim.journal.overflow import MAX_WAITING
    from exit_shim.journal.queries import (
        Count,
        Event,
        Run,
        Stack,
        count_lost,
        count_orders,
        counted,
        read_bodies,
        read_counts,
        read_events,
        read_records,
        read_runs,
        read_stacks,
        read_unread_doors,
        read_values,
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
            "exit_shim.journal.index_tables": ("IN_DOUBT", "OrderSite", "state_of"),
            "exit_shim.journal.log_writer": ("Health", "Journal"),
            "exit_shim.journal.overflow": ("MAX_WAITING",),
            "exit_shim.journal.queries": (
                "Count",
                "Event",
                "Run",
                "Stack",
                "count_lost",
                "count_orders",
                "counted",
                "read_bodies",
                "read_counts",
                "read_events",
                "read_records",
                "read_runs",
                "read_stacks",
                "read_unread_doors",
                "read_values",
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
    "Event",
    "Flaw",
    "Health",
    "Journal",
    "JournalError",
    "Numbers",
    "OrderSite",
    "Pruned",
    "Run",
    "Stack",
    "Sync",
    "count_lost",
    "count_orders",
    "counted",
    "default_journal_path",
    "examine",
    "journal_path",
    "living_runs",
    "prune",
    "read_bodies",
    "read_counts",
    "read_events",
    "read_records",
    "read_runs",
    "read_stacks",
    "read_unread_doors",
    "read_values",
    "state_folder",
    "state_of",
    "verify_run",
    "with_home",
]
