"""`exit-shim exchange fault`, `faults`, `clear-faults`: faults of a local exchange."""

import json
from typing import Any

import click

from exit_shim.cli.exchange_request import answer_option, ask, send, url_option
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.output import say
from exit_shim.cli.tables import show_table


class Field(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A field with its value: seconds=2, side=SELL."""

    name = "field"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Return name and value; numbers, true, false and null are read as JSON."""
        if isinstance(value, tuple):
            return value
        name, sign, text = value.partition("=")
        if not (name and sign):
            self.fail(f"{value!r} is not a field; expected NAME=VALUE, such as seconds=2", param, ctx)
        try:
            return name, json.loads(text)
        except ValueError:
            return name, text


class Times(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A number of times, or `always`."""

    name = "times"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the number, None for always."""
        if value == "always":
            return None
        if not str(value).isdecimal():
            self.fail(f"{value!r} is not a number of times; expected 1, 2, … or always", param, ctx)
        return int(value)


@click.command("fault")
@click.argument("name")
@click.argument("arguments", type=Field(), metavar="[ARGUMENT=VALUE]...", nargs=-1)
@click.option("--method", metavar="METHOD", help="Only requests of this HTTP method.")
@click.option("--path", metavar="PATH", help="Only this path (/fapi/v1/order) or endpoint (order).")
@click.option(
    "--where",
    type=Field(),
    metavar="FIELD=VALUE",
    multiple=True,
    help="Only requests, or stream events, with this field.",
)
@click.option(
    "--times",
    type=Times(),
    default="1",
    show_default=True,
    metavar="N",
    help="How many times, or `always`.",
)
@click.option("--skip", type=int, metavar="N", help="Leave the first N alone.")
@click.option("--chance", type=float, metavar="C", help="Probability of each hit, 0 to 1.")
@answer_option
@url_option
def inject_fault(
    *,
    name: str,
    arguments: tuple[tuple[str, Any], ...],
    where: tuple[tuple[str, Any], ...],
    times: int | None,
    as_json: bool,
    url: str,
    **rule: object,
) -> None:
    """Inject a fault into requests or stream events.

    NAME is a fault, such as delayed, reset_after_execution, unknown_error, banned or lost_event; the docs
    page "The local exchange" lists all. The fault's arguments follow:

        exit-shim exchange fault delayed seconds=2 --path order --times always
    """
    chosen = {option: value for option, value in rule.items() if value is not None}
    row = {"fault": name, "with": dict(arguments), "where": dict(where), "times": times, **chosen}
    # Not by ask(), which leaves out None, and None here means `always`.
    rules = send(url, "POST", "faults", json.dumps(row).encode())
    show_rules(rules, as_json=as_json)


@click.command("faults")
@answer_option
@url_option
def list_faults(*, as_json: bool, url: str) -> None:
    """List the faults, and how often each was hit."""
    show_rules(ask(url, "GET", "faults"), as_json=as_json)


@click.command("clear-faults")
@click.argument("name", required=False)
@answer_option
@url_option
def clear_faults(*, name: str | None, as_json: bool, url: str) -> None:
    """Remove the faults called NAME, or all."""
    show_rules(ask(url, "DELETE", "faults", {"fault": name}), as_json=as_json)


def show_rules(rules: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print the rules of a fault plan."""
    if as_json:
        say(json_text(rules))
    elif not rules:
        say("no faults")
    else:
        head = "fault", "method", "path", "where", "times", "hits"
        show_table(head, [rule_row(rule) for rule in rules])


def rule_row(rule: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of a rule."""
    where = " ".join(f"{name}={value}" for name, value in rule["where"].items())
    times = "always" if rule["times"] is None else str(rule["times"])
    return rule["fault"], rule["method"] or "", rule["path"] or "", where, times, str(rule["hits"])
