"""The Prometheus dashboard and the alert rules ask for nothing that the metrics do not have."""

import re

import pytest
from grafana import load_dashboard, load_rules, names_in, targets_of

from exit_shim.journal import Journal, JournalReader
from exit_shim.sinks.prometheus import Exporter
from exit_shim.sinks.prometheus.declared import METRICS

TARGET_LABELS = {"instance", "job"}
"""The labels that Prometheus adds to whatever it scrapes."""

COLUMNS = {"Time", "Value", "__name__"}
"""The columns of a table in Grafana besides the labels."""

SUFFIXES = ("", "_bucket", "_count", "_sum")

DASHBOARD = load_dashboard("prometheus.json")


def labels_of(metrics):
    """The labels that these metrics may have, by the names that a query knows them by."""
    known = {name + suffix: metric for name, metric in METRICS.items() for suffix in suffixes_of(metric)}
    assert metrics <= set(known)
    labels = {label for name in metrics for label in known[name].labels}
    return labels | TARGET_LABELS | ({"le"} if any(name.endswith("_bucket") for name in metrics) else set())


def suffixes_of(metric):
    return SUFFIXES[1:] if metric.type == "histogram" else SUFFIXES[:1]


def check(expression, named):
    """Each metric is declared, and each label, named in it or beside it, is one of theirs."""
    metrics, labels = names_in(expression)
    assert metrics, expression
    assert labels | set(named) <= labels_of(metrics), expression


def base_names(metrics):
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics}


@pytest.mark.parametrize(("title", "target"), targets_of(DASHBOARD))
def test_a_panel_asks_for_what_is_declared(title, target):
    """Metrics, labels, legends and variables of each question exist."""
    check(target["expr"], re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    asked = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval", "__range"}
    assert asked <= variables
    assert target["datasource"]["uid"] == "${datasource}"


def test_the_dashboard_shows_every_metric():
    """Each metric that is declared is on the dashboard, and every column of a table is a label."""
    shown = set()
    for panel in DASHBOARD["panels"]:
        metrics = set().union(*(names_in(target["expr"])[0] for target in panel["targets"]))
        shown |= base_names(metrics)
        for transformation in panel.get("transformations", ()):
            columns = {name for names in transformation["options"].values() for name in names}
            assert columns <= labels_of(metrics) | COLUMNS, panel["title"]
    assert shown == set(METRICS)
    for variable in DASHBOARD["templating"]["list"][1:]:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
        assert label in labels_of({metric})


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_declared(rule):
    """Metrics and labels of each rule, and of what it says, exist."""
    check(rule["expr"], re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_what_is_declared_is_what_is_scraped(tmp_path):
    """The names that dashboards are held against are those that a scrape declares, in the same types."""
    journal = Journal(tmp_path / "exits.db")
    assert journal.flush()
    text = Exporter(JournalReader(journal.path)).render()[0].decode()
    journal.close()
    declared = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    types = {name: "gauge" if metric.type == "info" else metric.type for name, metric in METRICS.items()}
    assert declared == types
