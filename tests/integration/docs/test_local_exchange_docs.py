"""The page for people who do not use the shim: its snippets run against a local exchange."""

import re
import shutil
import subprocess
import sys

import pytest
from repository import ROOT

from exit_shim.cli import app
from exit_shim.testing import LocalExchange

PAGE = (ROOT / "docs/how-to/local-exchange.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


#: Snippets for Node.js that need no package.
PLAIN_JAVASCRIPT = [text for text in blocks("javascript") if "import " not in text]


@pytest.fixture
def exchange():
    with LocalExchange() as local:
        yield local


def at(exchange, text):
    """The snippet with the port of this exchange."""
    return text.replace("127.0.0.1:8080", f"127.0.0.1:{exchange.port}")


def run(command, folder):
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("text", blocks("python"), ids=["python-binance", "ccxt", "sdk", "connector"])
def test_python_clients_place_an_order(exchange, tmp_path, text):
    """The snippet of each Python client that is installed places its order."""
    module = re.search(r"^(?:from|import) ([\w.]+)", text, re.MULTILINE)[1]
    pytest.importorskip(module)
    (tmp_path / "snippet.py").write_text(at(exchange, text))
    run([sys.executable, "snippet.py"], tmp_path)
    assert exchange.positions()[0]["positionAmt"] == "0.010"


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="needs bash and curl")
@pytest.mark.parametrize("text", blocks("console"), ids=lambda text: text.split()[1])
def test_shell_commands_succeed(exchange, tmp_path, text):
    """Every command of a snippet succeeds, one after the other."""
    own = f'exit-shim() {{ "{sys.executable}" -m exit_shim "$@" --url {exchange.url}; }}\n'
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    script = at(exchange, "\n".join(lines)).replace("--json '", "-H 'Content-Type: application/json' -d '")
    run(["bash", "-ec", own.replace("exit-shim()", "exit-shim ()") + script], tmp_path)


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_plain_javascript_drives_it(exchange, tmp_path):
    """The snippet without packages moves the price, and time passes."""
    (snippet,) = [text for text in PLAIN_JAVASCRIPT if "WebSocket" not in text]
    (tmp_path / "snippet.mjs").write_text(at(exchange, snippet))
    assert int(run(["node", "snippet.mjs"], tmp_path)) > 0
    assert str(exchange.engine.quote("BTCUSDT").last) == "58990"
    assert exchange.engine.ahead == 60_000


def test_its_commands_and_options_exist():
    """Each `exit-shim exchange …` of the page is one that there is."""
    group = app.get_command(None, "exchange")
    for name in re.findall(r"^\$ exit-shim exchange ([a-z-]+)", PAGE, re.MULTILINE):
        assert name in group.commands, name
    options = {option for parameter in group.params for option in parameter.opts}
    starts = re.findall(r"^exit-shim exchange (--.*)$", PAGE, re.MULTILINE)
    assert {word for line in starts for word in line.split() if word.startswith("--")} <= options
