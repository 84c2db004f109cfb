"""`exit-shim summary`: who fights whom, what was found, and how many exit orders each module placed."""

import click

from exit_shim.cli.csv_rows import csv_option, print_csv, refuse_both
from exit_shim.cli.filters import Selection, filter_options
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import json_option
from exit_shim.cli.output import say, say_styled
from exit_shim.cli.overview import Overview, read_overview
from exit_shim.cli.overview_screen import show_overview
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.cli.steps import show_positions, step_fields
from exit_shim.cli.why_empty import why_empty
from exit_shim.journal.record_source import StoredStep

CSV_COLUMNS = (
    *("module", "operation", "kind", "function", "place", "via", "evidence"),
    *("orders", "conflicts", "outcomes"),
)


@click.command()
@json_option
@csv_option
@click.option("--sites", is_flag=True, help="Count by each place in the bot, too.")
@filter_options()
def summary(*, as_json: bool, as_csv: bool, sites: bool, selection: Selection) -> None:
    """Show who fights whom, what was found, and what each module did.

    First who cancels whose orders and from where, what the guard found and how often, what is in doubt, and
    which positions have no stop now; then the numbers of each module. Below, each position that an exit
    executor protected, with its last step. With --run also the positions that were bare during that run.
    """
    refuse_both(as_json=as_json, as_csv=as_csv)
    overview = read_overview(selection)
    episodes = read_episodes(selection)
    if as_json:
        say(json_text({**overview.as_dict(), "positions": list(map(step_fields, episodes))}))
    elif as_csv:
        print_csv(CSV_COLUMNS, map(csv_row, overview.totals.site_fields()))
    else:
        show_screen(selection, overview, episodes, with_sites=sites)
    if not overview.totals.sites and not episodes:
        say(why_empty(selection), err=True)


def read_episodes(selection: Selection) -> list[StoredStep]:
    """Return the selected positions that executors protected, each with its last step."""
    with readable_journal_errors():
        episodes = selection.source.read_episodes(since_ns=selection.wanted.since_ns)
    return [stored for stored in episodes if selection.has_step(stored)]


def csv_row(site: dict[str, object]) -> dict[str, object]:
    """Return a place in the bot as a row of a spreadsheet."""
    outcomes = site["outcomes"]
    assert isinstance(outcomes, dict)  # noqa: S101 - for mypy: `site_fields` has made it
    return {**site, "outcomes": " ".join(f"{state}={number}" for state, number in outcomes.items())}


def show_screen(
    selection: Selection, overview: Overview, episodes: list[StoredStep], *, with_sites: bool
) -> None:
    """Print the summary for people."""
    show_overview(overview, selection.clock, with_sites=with_sites)
    if episodes:
        say_styled("Protected by an executor", "bold")
        show_positions(episodes, selection.clock)
