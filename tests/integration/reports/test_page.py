"""The live page in a real browser, beside a bot on the local exchange: what it shows is what is there."""

import random
import signal
import time
from decimal import Decimal

import pytest
from browser import opened
from page_load import load_page, wait_for
from page_server import Account, PageProcess

from exit_shim.executor import ExitExecutor, ExitPlan, HardStop, PartialTake, at_fraction
from exit_shim.journal import prune
from exit_shim.testing import LocalExchange

SYMBOLS = {"BTCUSDT": (60_000, "0.01"), "ETHUSDT": (3_000, "0.1")}
MODULES = ("brain", "rearm", "monitor")

READ_CARDS = """() => [...document.querySelectorAll('.card')].map(card => [
    card.querySelector('.name').textContent, card.querySelector('.size').textContent.split(' at ')[0],
    card.dataset.cover, card.querySelector('.bared').textContent.split(' cancelled ')[0],
]).sort()"""

READ_EXITS = (
    "() => [...document.querySelectorAll('#exits tr td:last-child')].map(td => td.textContent).sort()"
)


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def account(journal):
    with LocalExchange(rate_limits=False) as exchange:
        account = Account(exchange, journal)
        yield account
        account.close()


@pytest.fixture
def serve(journal):
    """Start servers of the journal; all are ended."""
    started = []

    def start(*options, port=0, **environment):
        started.append(PageProcess(journal, *options, port=port, **environment))
        return started[-1]

    yield start
    for server in started:
        server.kill()


class Engine:
    """What the exchange holds, in the words of the page; and who cancelled the last stop."""

    def __init__(self, account):
        self.account = account
        self.bared_by = {}
        self.traded = set()

    def exits(self, symbol):
        return self.account.exchange.open_algo_orders(symbol)

    def amount(self, symbol):
        rows = [row for row in self.account.exchange.positions() if row["symbol"] == symbol]
        return sum((Decimal(str(row["positionAmt"])) for row in rows), Decimal(0))

    def cards(self):
        return sorted(card for card in map(self.card, SYMBOLS) if card is not None)

    def card(self, symbol):
        amount, exits = self.amount(symbol), self.exits(symbol)
        if not amount:
            return [symbol, "0", "flat", ""] if symbol in self.traded else None
        self.traded.add(symbol)
        cover = self.cover(abs(amount), "SELL" if amount > 0 else "BUY", exits)
        size = f"{abs(amount):f}".rstrip("0").rstrip(".")
        by = (
            self.bared_by.get(symbol, "no stop of it is in the record") if cover in {"bare", "partly"} else ""
        )
        return [f"{symbol} {'LONG' if amount > 0 else 'SHORT'}", size, cover, by]

    @staticmethod
    def cover(size, side, exits):
        stops = [row for row in exits if row["orderType"] == "STOP_MARKET" and row["side"] == side]
        closed = sum((Decimal(str(row["quantity"])) for row in stops), Decimal(0))
        if any(row["closePosition"] for row in stops) or closed >= size:
            return "covered"
        return "partly" if stops else "bare"

    def act(self, dice):
        """Do something at random that the exchange takes, and remember who cancelled a stop."""
        symbol = dice.choice(list(SYMBOLS))
        price, lot = SYMBOLS[symbol]
        amount, exits = self.amount(symbol), self.exits(symbol)
        if not amount:
            self.bared_by.pop(symbol, None)
            self.account.trade(symbol, dice.choice(["BUY", "SELL"]), lot)
            return
        side = "SELL" if amount > 0 else "BUY"
        below = price * (0.95 if amount > 0 else 1.05)
        level = round(below + len(exits), 1)
        act = dice.choice(["stop", "stop", "half", "take", "cancel", "cancel", "grow", "close"])
        whole = [row for row in exits if row["closePosition"] and row["orderType"] == "STOP_MARKET"]
        if act == "stop" and not whole:
            self.account.place(dice.choice(MODULES), symbol, side, level)
        elif act == "half":
            self.account.place("brain", symbol, side, level, quantity=lot, reduceOnly="true")
        elif act == "take" and len(exits) < 4:
            far = round(price * (1.06 if amount > 0 else 0.94) + len(exits), 1)
            fields = {"quantity": lot, "reduceOnly": "true"}
            self.account.place("taker", symbol, side, far, order_type="TAKE_PROFIT_MARKET", **fields)
        elif act == "cancel" and exits:
            self.cancel(dice.choice(MODULES), symbol, side, dice.choice(exits))
        elif act == "grow":
            self.account.trade(symbol, "BUY" if amount > 0 else "SELL", lot)
        elif act == "close":
            self.account.trade(symbol, side, abs(amount))

    def cancel(self, module, symbol, side, row):
        self.account.cancel(module, symbol, row["algoId"])
        if row["orderType"] == "STOP_MARKET":
            self.bared_by[symbol] = module
        if self.cover(abs(self.amount(symbol)), side, self.exits(symbol)) == "covered":
            self.bared_by.pop(symbol, None)


def check_exits(page, engine):
    """The table of exits of each position has what rests there."""
    for symbol in SYMBOLS:
        card = page.locator(".card", has_text=symbol)
        if card.count():
            card.click()
            wait_for(page, READ_EXITS, sorted(str(row["algoId"]) for row in engine.exits(symbol)))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_page_shows_what_the_engine_holds(chromium, account, serve, seed):
    """After each of a series of random actions, positions, cover, exits and who bared are the engine's."""
    dice, engine = random.Random(seed), Engine(account)
    account.trade("BTCUSDT", "BUY", "0.01")
    account.look()
    with opened(chromium, serve().url) as sheet:
        for _ in range(14):
            engine.act(dice)
            account.look()
            wait_for(sheet.page, READ_CARDS, engine.cards())
            check_exits(sheet.page, engine)
        assert sheet.complaints == []


def test_a_new_server_and_a_pruned_journal(chromium, account, serve, journal):
    """Without a server nothing is shown as covered; a new one is found, and is right after a prune."""
    account.trade("BTCUSDT", "BUY", "0.01")
    stop = account.place("brain", "BTCUSDT", "SELL", 50_000)
    account.look()
    server = serve()
    with opened(chromium, server.url) as sheet:
        page = sheet.page
        wait_for(page, READ_CARDS, [["BTCUSDT LONG", "0.01", "covered", ""]])
        server.kill()
        page.wait_for_selector("body[data-link=lost]")
        wait_for(page, "() => document.querySelector('.card').dataset.cover", "unknown")
        assert page.locator(".cover").text_content() == "was covered"
        assert "is not known" in page.locator("#headline").text_content()
        account.cancel("rearm", "BTCUSDT", stop["algoId"])
        account.look()
        before = time.time_ns()
        account.place("brain", "BTCUSDT", "SELL", 49_000, quantity="0.004", reduceOnly="true")
        account.look()
        assert prune(journal, before_ns=before).events > 0
        serve(port=server.port)
        wait_for(page, READ_CARDS, [["BTCUSDT LONG", "0.01", "partly", "no stop of it is in the record"]])
        again = account.place("brain", "BTCUSDT", "SELL", 50_000)
        account.look()
        wait_for(page, READ_CARDS, [["BTCUSDT LONG", "0.01", "covered", ""]])
        prune(journal, before_ns=time.time_ns())
        account.cancel("rearm", "BTCUSDT", again["algoId"])
        account.look()
        wait_for(page, READ_CARDS, [["BTCUSDT LONG", "0.01", "partly", "rearm"]])


def test_a_server_that_says_nothing(chromium, account, serve):
    """A server that hangs is noticed within seconds, and what it then says is current again."""
    account.trade("BTCUSDT", "BUY", "0.01")
    account.place("brain", "BTCUSDT", "SELL", 50_000)
    account.look()
    server = serve()
    with opened(chromium, server.url) as sheet:
        wait_for(sheet.page, READ_CARDS, [["BTCUSDT LONG", "0.01", "covered", ""]])
        server.process.send_signal(signal.SIGSTOP)
        wait_for(sheet.page, "() => document.querySelector('.cover').textContent", "was covered")
        assert "connection lost" in sheet.page.locator("#link").text_content()
        server.process.send_signal(signal.SIGCONT)
        wait_for(sheet.page, READ_CARDS, [["BTCUSDT LONG", "0.01", "covered", ""]])


def test_what_a_page_missed_is_sent_when_it_comes_back(chromium, account, serve):
    """A browser that was away asks from its last event id on, and is sent the changes alone."""
    account.trade("BTCUSDT", "BUY", "0.01")
    stop = account.place("brain", "BTCUSDT", "SELL", 50_000)
    account.look()
    with opened(chromium, serve().url) as sheet:
        page = sheet.page
        wait_for(page, READ_EXITS, [str(stop["algoId"])])
        page.context.set_offline(True)
        account.cancel("rearm", "BTCUSDT", stop["algoId"])
        account.look()
        page.context.set_offline(False)
        wait_for(page, READ_CARDS, [["BTCUSDT LONG", "0.01", "bare", "rearm"]])
        wait_for(page, "() => document.querySelectorAll('#ladder .taken').length", 1)
        feed = page.locator("#feed li").first.text_content()
        assert "rearm cancelled brain's stop loss" in feed


def test_the_executor_and_its_steps(chromium, account, serve):
    """A position that the executor holds shows it as owner and guard, with its plan and its last steps."""

    def plan_for(position):
        legs = HardStop(at_fraction("0.03")), PartialTake("0.5", at_fraction("0.05"))
        return ExitPlan(symbol=position.symbol, position_side=position.side, legs=legs, plan_id="swing")

    account.trade("BTCUSDT", "BUY", "0.01")
    executor = ExitExecutor(account.client, plan_for, shim=account.shim)
    for _ in range(3):
        executor.protect()
    account.look()
    with opened(chromium, serve().url) as sheet:
        page = sheet.page
        wait_for(page, READ_CARDS, [["BTCUSDT LONG", "0.01", "covered", ""]])
        assert page.locator(".owner").text_content().startswith("owner exit executor, plan swing")
        assert "of exit_brain_executor" in page.locator(".guard").text_content()
        assert "BTCUSDT LONG held to plan swing" in page.locator("#plans").text_content()
        steps = page.locator("#steps strong").all_text_contents()
        assert [step for step in steps if "place" in step] == ["BTCUSDT place t1", "BTCUSDT place hs"]


def test_planted_text_is_text(chromium, account, serve):
    """Script tags and terminal codes in modules' names are shown, and do nothing."""
    evil = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>\x1b[31m'
    account.trade("BTCUSDT", "BUY", "0.01")
    stop = account.place(evil, "BTCUSDT", "SELL", 50_000)
    account.look()
    with opened(chromium, serve().url) as sheet:
        page = sheet.page
        wait_for(page, READ_EXITS, [str(stop["algoId"])])
        account.cancel(f"rearm{evil}", "BTCUSDT", stop["algoId"])
        account.look()
        wait_for(page, READ_CARDS, [["BTCUSDT LONG", "0.01", "bare", f"rearm{evil}"]])
        page.wait_for_selector("#feed li")
        page.wait_for_selector("#ladder .life")
        assert page.evaluate("window.harmed") is None
        assert evil in page.locator("#feed").text_content()
        assert page.locator("main img, main script").count() == 0
        assert sheet.complaints == []


def test_the_token_opens_the_page(chromium, account, serve):
    """The printed address signs a browser in, with a cookie that no script can read."""
    account.trade("BTCUSDT", "BUY", "0.01")
    account.look()
    server = serve("--bind", "0.0.0.0", "--allow-host", "localhost")
    _, _, token = server.url.partition("#token=")
    address = f"http://localhost:{server.port}/"
    with opened(chromium, address) as sheet:
        page = sheet.page
        page.wait_for_selector("#token")
        page.fill("#token", "wrong")
        page.click("button")
        wait_for(
            page, "() => document.getElementById('answer').textContent.slice(0, 22)", "That is not the token."
        )
        page.goto("about:blank")
        page.goto(f"{address}#token={token}")
        page.wait_for_selector(".card")
        wait_for(page, READ_CARDS, [["BTCUSDT LONG", "0.01", "bare", "no stop of it is in the record"]])
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert token not in cookie["value"]
        assert token not in page.url
        assert page.evaluate("document.cookie") == ""
        page.context.clear_cookies()
    status, out, err = server.stop()
    assert (status, out, err) == (0, "stopped\n", "")


def test_a_busy_bot_does_not_make_it_grow(chromium, journal):
    """With thousands of events in seconds, document, heap and server stay within bounds.

    In the long form, 50 events a second for 10 minutes: `python tests/support/page_load.py`.
    """
    before, after = load_page(chromium, journal, per_second=1000, seconds=6)
    assert max(before.nodes, after.nodes) < 9_000
    assert after.heap - before.heap < 25_000_000
    assert after.resident - before.resident < 60_000_000
