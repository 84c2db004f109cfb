"""The page about OpenTelemetry: its example runs as it stands, its tables are the code's."""

import re
import subprocess
import sys

from opentelemetry.metrics import NoOpMeter
from repository import ROOT

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Intent, Outcome, Target
from exit_shim.domain.orders import ExitOrder
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.domain.verdicts import Reason
from exit_shim.sinks.otel import Instruments, attributes_of

PAGE = (ROOT / "docs/how-to/opentelemetry.md").read_text()


def section(heading):
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


def rows(heading):
    """The cells of a table, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_example_runs(tmp_path, monkeypatch):
    """The bot of the page prints its own span, the order's, and the metrics."""
    monkeypatch.delenv("EXIT_SHIM_OTEL", raising=False)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "bot.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "bot.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    for said in ('"name": "monitor cycle"', '"name": "place sl"', '"name": "exit_shim.orders"'):
        assert said in done.stdout


def test_every_attribute_of_a_span_is_on_the_page():
    """The table has what a span can have, and nothing else."""
    text = dict.fromkeys(
        ("symbol", "side", "position_side", "type", "quantity", "price", "trigger_price"), "1"
    )
    intent = Intent(
        ts=1,
        door="door",
        operation="cancel",
        order=ExitOrder(kind="sl", client_order_id="id", **text),
        attribution=Attribution(
            module="m", evidence="stack", function="f", file="f.py", line=1, via=("helper",)
        ),
        mode="LEGACY",
        account="one",
        targets=(Target(kind="sl"),),
    )
    about = RecordedEvent("run", 1, intent)
    outcome = Outcome("rejected", 1, 1, "id", -2021, "text", 1.0, 2.0)
    made = attributes_of(RecordedEvent("run", 2, outcome, about), intent, outcome, (Reason("CHURN"),))
    listed = [name for cells in rows("Spans") for name in names(cells[0])]
    assert sorted(listed) == sorted(made)


class Meter(NoOpMeter):
    """A meter that remembers what was made."""

    def __init__(self):
        super().__init__("remembers")
        self.made = {}

    def create_counter(self, name, unit="", description=""):
        self.made[name] = "counter", unit
        return super().create_counter(name, unit, description)

    def create_up_down_counter(self, name, unit="", description=""):
        self.made[name] = "up-down counter", unit
        return super().create_up_down_counter(name, unit, description)

    def create_histogram(self, name, unit="", description="", **more):
        self.made[name] = "histogram", unit
        return super().create_histogram(name, unit, description, **more)


def test_every_metric_is_on_the_page():
    """The table has each metric with its kind and unit, and nothing else."""
    meter = Meter()
    Instruments(meter)
    listed = {names(name)[0]: (kind, names(unit)[0]) for name, kind, unit, _ in rows("Metrics")}
    assert listed == meter.made
