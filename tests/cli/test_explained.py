"""What `explain` and `whatif` say of what was held back, of what failed, and of a futile cancel."""

import contextlib

import pytest
from binance.exceptions import BinanceAPIException
from click.testing import CliRunner

import exit_shim
from exit_shim.cli import app
from exit_shim.domain.reason_codes import REASONS
from exit_shim.guard.policy import parse_policy
from exit_shim.journal import read_records
from exit_shim.testing import FakeClient, LocalExchange

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
TARGET = {**STOP, "type": "TAKE_PROFIT_MARKET", "stopPrice": 70000}
LEGACY, OWNER = "position_monitor", "exit_brain_v3"


class Bot:
    """A bot with a position, the owner's stop on it, and a journal."""

    def __init__(self, folder, policy=""):
        self.journal = folder / "journal.db"
        self.shim = exit_shim.ExitShim(
            journal=self.journal, policy=parse_policy(policy), mode="EXIT_BRAIN_V3", sinks=[]
        )
        self.client = self.shim.wrap(FakeClient(exchange=LocalExchange()))
        self.client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        self.stop = self.by(OWNER, **STOP)

    def by(self, module, method="futures_create_order", **params):
        """Ask for something in the name of a module; the answer, or None for a refusal."""
        with exit_shim.attributed(module), contextlib.suppress(BinanceAPIException):
            return getattr(self.client, method)(**params)
        return None

    def run(self, *command):
        """What a command prints, with this bot's journal."""
        assert self.shim.flush()
        done = CliRunner(env={"EXIT_SHIM_JOURNAL": str(self.journal)}).invoke(app, command)
        assert done.exit_code == 0, done.output
        return done.output

    def explain_last(self):
        """What `explain` says of the order that was recorded last."""
        assert self.shim.flush()
        *_, last = read_records(self.journal)
        return self.run("explain", f"{last.run_id}:{last.seq}")


@pytest.fixture
def make(tmp_path):
    """Bots, closed at the end."""
    bots = []

    def bot(policy=""):
        bots.append(Bot(tmp_path, policy))
        return bots[-1]

    yield bot
    for own in bots:
        own.shim.close()


@pytest.mark.parametrize(
    ("words", "method", "params"),
    [
        ("asked to place tp", "futures_create_order", TARGET),
        ("asked to cancel sl", "futures_cancel_algo_order", {}),
    ],
)
def test_what_was_denied_was_asked_for(make, words, method, params):
    """It is not said to be placed or cancelled, and there is no time before a send that never was."""
    bot = make('level = "enforce"\n')
    bot.by(LEGACY, method, **(params or {"algoId": bot.stop["algoId"]}))
    told = bot.explain_last()
    assert told.startswith(words)
    assert "in the shim; nothing was sent" in told
    assert "before the send" not in told
    *_, last = read_records(bot.journal)
    assert last.outcome.result == "denied"
    assert last.flat()["presend_us"] is None


def test_what_was_accepted_was_placed(make):
    """An accepted order was placed, and took its time before the send."""
    bot = make()
    told = bot.explain_last()
    assert told.startswith("placed sl BTCUSDT")
    assert "µs in the shim before the send" in told


def test_a_futile_cancel_is_explained(make):
    """The record has the reason with its facts, and explain says what it means."""
    bot = make()
    bot.by(LEGACY, "futures_cancel_all_open_orders", symbol="BTCUSDT")
    told = bot.explain_last()
    assert (
        "FUTILE_CANCEL store=orders resting_elsewhere=1 instead=futures_cancel_all_algo_open_orders" in told
    )
    assert REASONS["FUTILE_CANCEL"] in told


@pytest.mark.parametrize("level", ["observe", "warn"])
def test_whatif_takes_a_policy_about_futile_cancels(make, tmp_path, level):
    """A policy may set its level, and by none is such a cancel denied."""
    bot = make()
    bot.by(OWNER, "futures_cancel_all_open_orders", symbol="BTCUSDT")
    policy = tmp_path / "policy.toml"
    policy.write_text(f'level = "enforce"\n[rules.FUTILE_CANCEL]\nlevel = "{level}"\n')
    assert "2 orders: 0 would be denied" in bot.run("whatif", "--policy", str(policy))
