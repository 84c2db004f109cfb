"""Requests of the commands to a local exchange in another process."""

import http.client
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import click

from exit_shim.cli.exchange_client import LocalUrl
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.output import say

DEFAULT_URL: Final = "http://127.0.0.1:8080"
OK: Final = 200
PATIENCE: Final = 30
"""Seconds that the exchange has for its answer."""

url_option = click.option(
    "--url",
    type=LocalUrl(),
    default=DEFAULT_URL,
    show_default=True,
    help="URL or HOST:PORT of the local exchange.",
)
answer_option = click.option("--json", "as_json", is_flag=True, help="Print the exchange's answer as JSON.")


def ask(url: str, method: str, action: str, fields: Mapping[str, object] | None = None) -> Any:
    """Send a control request and return the answer; end the command without one."""
    sent = {name: value for name, value in (fields or {}).items() if value is not None}
    if method == "POST":
        return send(url, method, action, json.dumps(sent).encode())
    return send(url, method, f"{action}?{urlencode(sent)}")


def send(url: str, method: str, target: str, body: bytes | None = None) -> Any:
    """Send a control request with an encoded body, and return the answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request(method, f"/exchange/{target}", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        status, answer = response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise click.ClickException(
            f"no local exchange answers at {url}: {why}; start one with `exit-shim exchange --port 8080`, or "
            "name its address with --url"
        ) from error
    finally:
        connection.close()
    if status != OK:
        code = f" ({answer['code']})" if "code" in answer else ""
        raise click.ClickException(f"{url} refuses: {answer.get('msg', answer)}{code}")
    return answer


def say_answer(answer: object, text: str, *, as_json: bool) -> None:
    """Print an answer as JSON, or as the line `text`."""
    say(json_text(answer) if as_json else text)
