"""JSON on one line, for pipelines."""

import json

import msgspec

from exit_shim.domain.events import Record


def json_text(value: object) -> str:
    """Return JSON on one line without terminal controls; it parses to the same value."""
    text = msgspec.json.encode(value).decode()
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def record_json(record: Record) -> str:
    """Return a record as one JSON object."""
    return json_text(record.flat())
