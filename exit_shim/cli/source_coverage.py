"""Join a scan of the bot's source with the records, for the report."""

from pathlib import Path

from exit_shim.cli.bot_source import leaves_of
from exit_shim.journal.record_source import RecordFilter, RecordSource
from exit_shim.reports.source_coverage import SourceCoverage, SourcePlace
from exit_shim.scan.scan import scan
from exit_shim.scan.seen import count_seen


def read_coverage(path: Path, source: RecordSource, wanted: RecordFilter) -> SourceCoverage:
    """Return which places of the source were seen in the wanted time, whatever else is wanted."""
    found = scan(path)
    records = source.read_records(RecordFilter(since_ns=wanted.since_ns, until_ns=wanted.until_ns))
    seen = count_seen(found, records)
    places = [site for site in leaves_of(found) if site.is_recorded]
    return SourceCoverage(
        found.root,
        len(places),
        tuple(
            SourcePlace(f"{site.file}:{site.line}", site.function, site.door)
            for site in places
            if site not in seen
        ),
    )
