"""Orders as records, for tests that look at what a shim told its sinks."""

import msgspec

from exit_shim.domain.events import OrderFindings, Outcome, Record


def keep_record(records, recorded):
    """Append the order of an outcome to `records`, or put what was found of it into its record."""
    event, about = recorded.event, recorded.about
    if isinstance(event, Outcome):
        records.append(Record(about.run_id, about.seq, about.event, event))
    elif isinstance(event, OrderFindings):
        place = next(place for place, record in enumerate(records) if record.seq == about.seq)
        records[place] = msgspec.structs.replace(records[place], findings=event)
