"""`exit-shim exchange requests`, `unanswered`, `key`, `save`, `load` and `reset`."""

from pathlib import Path
from typing import Any

import click

from exit_shim.cli.exchange_request import answer_option, ask, say_answer, send, url_option
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.output import say
from exit_shim.cli.tables import show_table

HIDDEN = frozenset({"timestamp", "recvWindow"})
"""Parameters that say nothing about what was asked."""


@click.command("requests")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many."
)
@answer_option
@url_option
def list_requests(*, limit: int, as_json: bool, url: str) -> None:
    """List the newest requests of clients, with their answers."""
    records = ask(url, "GET", "requests", {"limit": limit})
    if as_json:
        say(json_text(records))
    elif not records:
        say("no requests")
    else:
        show_table(("method", "path", "status", "fault", "parameters"), [record_row(row) for row in records])


def record_row(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of a request."""
    code = "" if record["errorCode"] is None else f" {record['errorCode']}"
    params = " ".join(f"{name}={value}" for name, value in record["params"].items() if name not in HIDDEN)
    status = f"{record['httpStatus']}{code}" if record["httpStatus"] else "none"
    return record["method"], record["path"], status, record["fault"] or "", params


@click.command("unanswered")
@answer_option
@url_option
def list_unanswered(*, as_json: bool, url: str) -> None:
    """List what clients asked for that the exchange lacks."""
    missing = ask(url, "GET", "unanswered")
    if as_json:
        say(json_text(missing))
    elif not missing:
        say("nothing is missing")
    else:
        head = "times", "kind", "name", "reason"
        show_table(head, [(row["count"], row["kind"], row["name"], row["reason"]) for row in missing])


@click.command("key")
@click.argument("key")
@click.argument("secret")
@click.option("--read-only", is_flag=True, help="The key may read, not trade.")
@answer_option
@url_option
def add_key(*, key: str, secret: str, read_only: bool, as_json: bool, url: str) -> None:
    """Accept the API key KEY with SECRET.

    Make one up, and never use a real one. All keys belong to one account.
    """
    answer = ask(url, "POST", "keys", {"key": key, "secret": secret, "canTrade": not read_only})
    say_answer(answer, f"accepted {key}" + (" for reading" if read_only else ""), as_json=as_json)


@click.command("save")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@url_option
def save_state(*, file: Path, url: str) -> None:
    """Save the exchange to FILE, without keys and faults."""
    saved = json_text(ask(url, "GET", "saved"))
    try:
        file.write_text(saved, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write '{file}': {error.strerror or error}") from error
    say(f"saved to {file}")


@click.command("load")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@answer_option
@url_option
def load_state(*, file: Path, as_json: bool, url: str) -> None:
    """Restore what `save` wrote to FILE."""
    answer = send(url, "POST", "saved", file.read_bytes())
    say_answer(answer, f"loaded {file}, now {answer['now']}", as_json=as_json)


@click.command("reset")
@answer_option
@url_option
def reset_state(*, as_json: bool, url: str) -> None:
    """Restore the state at the start; keys and faults stay."""
    answer = ask(url, "POST", "reset")
    say_answer(answer, f"reset, now {answer['now']}", as_json=as_json)
