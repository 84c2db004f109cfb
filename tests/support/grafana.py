"""Read dashboards and alert rules as Grafana and Prometheus do, far enough to try what they ask."""

import json
import re

import yaml
from repository import ROOT

FOLDER = ROOT / "docs" / "grafana"

SELECTOR = re.compile(r"\b(exit_shim_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def load_dashboard(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def load_rules():
    """All rules of the file of alerts."""
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def targets_of(dashboard):
    """Each question of a dashboard with the title of its panel."""
    return [(panel["title"], target) for panel in dashboard["panels"] for target in panel["targets"]]


def names_in(expression):
    """The metrics of a PromQL expression, and the labels that it names."""
    metrics, labels = set(), set()
    for name, matchers in SELECTOR.findall(expression):
        metrics.add(name)
        labels |= set(MATCHER.findall(matchers))
    for names in GROUPING.findall(expression):
        labels |= set(filter(None, re.split(r"[\s,]+", names)))
    return metrics, labels


def sql_of(target, since, until, **variables):
    """The SQL of a question with Grafana's macros and variables replaced."""
    sql = target["rawSql"]
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN '{since}' AND '{until}'", sql)
    sql = re.sub(
        r"\$__timeGroupAlias\((\w+), \$__interval\)",
        r'floor(extract(epoch FROM \1) / 60) * 60 AS "time"',
        sql,
    )
    for name, values in variables.items():
        quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
        sql = sql.replace(f"${{{name}:sqlstring}}", quoted)
    assert "$" not in sql.replace("$'", ""), sql
    return sql
