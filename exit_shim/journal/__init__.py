"""The durable record: an append-only SQLite file, written before an order leaves, shared by one host.

WAL with `synchronous=NORMAL`: what was appended survives the death of the process at any instruction
(the operating system holds it), though not the loss of power. One file serves all processes of a host.
"""

from exit_shim.journal.appending import MAX_WAITING, Health, Journal
from exit_shim.journal.examining import Condition, examine
from exit_shim.journal.file import SCHEMA_VERSION, JournalError
from exit_shim.journal.places import default_path, state_folder
from exit_shim.journal.reading import read_records

__all__ = [
    "MAX_WAITING",
    "SCHEMA_VERSION",
    "Condition",
    "Health",
    "Journal",
    "JournalError",
    "default_path",
    "examine",
    "read_records",
    "state_folder",
]
