"""Metrics from the central database are those of the journals that were shipped there."""

from click.testing import CliRunner
from made import fill, ship
from prometheus_client.parser import text_string_to_metric_families as parse

from exit_shim.cli import app

MOVING = "_seconds"
"""What is different a moment later."""


def scrape(*options, path, dsn=None):
    """The samples that a command prints, by name and labels, but for times that pass."""
    environment = {"EXIT_SHIM_JOURNAL": str(path), "EXIT_SHIM_FROM": dsn}
    done = CliRunner().invoke(app, ["metrics", "--once", *options], env=environment)
    assert done.exit_code == 0, done.output
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(done.stdout)
        for sample in family.samples
        if not sample.name.endswith(MOVING)
    }


def test_the_metrics_are_the_same_from_the_database(central, path, tmp_path):
    """Two journals in one database are counted together, and --journal reads the one that it names."""
    fill(path, 70)
    ship(path, central.writer)
    here = scrape(path=path)
    assert here["exit_shim_up", frozenset()] == 1
    assert sum(value for (name, _), value in here.items() if name == "exit_shim_orders_total") > 40
    assert scrape(path=path, dsn=central.reader) == here
    assert scrape("--journal", str(path), path=tmp_path / "none.db", dsn=central.reader) == here

    other = tmp_path / "other.db"
    fill(other, 70, first=100)
    ship(other, central.writer)
    there, both = scrape(path=other), scrape(path=path, dsn=central.reader)
    names = {"exit_shim_orders_total", "exit_shim_fights_total", "exit_shim_findings_total"}
    for key in {*here, *there}:
        if key[0] in names or key[0].endswith(("_bucket", "_count")):
            assert both[key] == here.get(key, 0) + there.get(key, 0), key


def test_a_database_that_is_gone_is_said_without_its_password():
    """A scrape of a database that cannot be reached answers, and nothing shows its password."""
    dsn = "postgresql://reader:pLaNtEd-Pa55@127.0.0.1:1/nowhere"
    done = CliRunner().invoke(app, ["metrics", "--once"], env={"EXIT_SHIM_FROM": dsn})
    assert done.exit_code == 0
    assert "exit_shim_up 0.0" in done.stdout
    assert "postgresql://127.0.0.1:1/nowhere cannot be reached" in done.output
    assert "pLaNtEd" not in done.output
