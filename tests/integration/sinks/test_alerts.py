"""Alerts end to end: a genuine bot, a local exchange, the watch, and a webhook on this machine."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from abilities import STOP_PATH
from alert_hook import Hook
from click.testing import CliRunner
from running_executor import stop_only

import exit_shim
from exit_shim.alerts.account import AccountSight
from exit_shim.alerts.digest import TimeOfDay
from exit_shim.alerts.orders import notice_event
from exit_shim.alerts.watch import Watch, WatchOptions, Zone
from exit_shim.cli import app
from exit_shim.cli.clock import UTC_CLOCK
from exit_shim.cli.protect_alerts import alerting
from exit_shim.clients.accounts import label_of
from exit_shim.domain.events import AlertSent, Lost, Switch
from exit_shim.exchange.faults import reset_after_execution
from exit_shim.executor.executor import ExitExecutor
from exit_shim.feeds.exchange_log import ExchangeLog
from exit_shim.guard.policy import parse_policy
from exit_shim.journal import Journal, JournalReader
from exit_shim.journal.rows import decode
from exit_shim.sinks.alerts import AlertServices
from exit_shim.sinks.heartbeat import Heartbeat

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
PLANS = '[[plans]]\nname = "everything"\nhard_stop = "2 %"\n'
SECRETS = ("tok3nInTheUser", "s3cretPassword", "Pl4ntedPath", "qu3ryToken", "he4rtbeatSecret")
PATIENCE_S = 120

BOT = """
import sys
import exit_shim
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients
from binance import Client

STOP = {stop!r}

def rearm(client, placed):
    client.futures_cancel_algo_order(symbol="BTCUSDT", algoId=placed["algoId"])

with redirect_clients({url!r}, lambda *_: None):
    client = exit_shim.wrap(Client(LOCAL_KEY, LOCAL_SECRET))
    for line in sys.stdin:
        if line == "enter\\n":
            client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        elif line == "protect\\n":
            with exit_shim.attributed("exit_brain"):
                placed = client.futures_create_order(**STOP)
        else:
            rearm(client, placed)
        print("done", flush=True)
"""


def until(is_so, what="it", act=lambda: time.sleep(0.02)):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, f"waited in vain for {what}"
        act()


@pytest.fixture
def hook():
    with Hook() as running:
        yield running


class Process:
    """A process of this test, with what it has printed so far."""

    def __init__(self, *words, **environment):
        self.process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )
        self.out, self.err = [], []
        self.threads = [
            threading.Thread(target=lines.extend, args=(stream,))
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for thread in self.threads:
            thread.start()

    def wait_for(self, text, lines=None):
        lines = self.out if lines is None else lines
        until(lambda: any(text in line for line in lines), f"{text!r} in {self.out} {self.err}")

    def say(self, line):
        """Have a bot do something, and wait until it has."""
        before = len(self.out)
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        until(lambda: len(self.out) > before, f"{line}: {self.err}")

    def end(self, number=None):
        if number is not None:
            self.process.send_signal(number)
        self.process.stdin.close()
        status = self.process.wait(PATIENCE_S)
        for thread in self.threads:
            thread.join(PATIENCE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    @property
    def text(self):
        return "".join([*self.out, *self.err])


@pytest.fixture
def start():
    with contextlib.ExitStack() as undo:

        def run(*words, **environment):
            one = Process(*words, **environment)
            undo.callback(lambda: one.process.poll() is None and (one.process.kill(), one.end()))
            return one

        yield run


def test_a_strip_by_a_genuine_bot_reaches_the_webhook_and_says_who(exchange, client, hook, start, tmp_path):
    """Within 10 s the webhook has who, from where, though the bot was killed; nothing shows a secret."""
    token, password, path, query, heartbeat = SECRETS
    urls = f"json://{token}:{password}@127.0.0.1:{hook.port}/{path}?-k={query}"
    watch = start(
        *("-m", "exit_shim", "watch", "--local", exchange.url, "--grace", 1, "--settle", 0.5, "--utc"),
        EXIT_SHIM_ALERT_URLS=urls,
        EXIT_SHIM_HEARTBEAT_URL=f"http://127.0.0.1:{hook.port}/{heartbeat}",
    )
    watch.wait_for("heartbeat", watch.err)
    script = tmp_path / "position_monitor.py"
    script.write_text(BOT.format(stop=STOP, url=exchange.url))
    bot = start(script)
    bot.say("enter")
    bot.say("protect")
    stripped = time.time()
    bot.say("rearm")
    assert bot.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: hook.posts, f"an alert; {watch.text}")
    assert hook.came[0] - stripped < 10
    first = hook.posts[0]
    assert first["title"] == "BTCUSDT is bare: no stop closes its long position of 0.010"
    line = 1 + BOT.format(stop=STOP, url=exchange.url).splitlines().index(
        '    client.futures_cancel_algo_order(symbol="BTCUSDT", algoId=placed["algoId"])'
    )
    by = f"by: position_monitor (rearm position_monitor.py:{line}) cancelled exit_brain's STOP_MARKET"
    assert by in first["message"]
    assert "account: key-" in first["message"]
    assert "LONG 0.010, mark price 60000" in first["message"]
    assert "next: exit-shim why BTCUSDT" in first["message"]
    client.futures_create_order(**STOP)
    until(lambda: len(hook.posts) > 1, f"its end; {watch.text}")
    assert hook.titles[1].startswith("BTCUSDT is covered again after ")
    until(lambda: any(heartbeat in path for path in hook.paths), "a heartbeat")
    watch.wait_for("is covered again")
    assert watch.end(signal.SIGTERM) == 0
    assert [line.split()[2] for line in watch.out] == ["ALERT", "over"]
    assert "sent to json" in watch.out[0]

    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != script)
    for secret in SECRETS:
        assert secret not in watch.text
        assert secret.encode() not in written
    sent = read_sent(tmp_path / "journal.db")
    assert [(one.alert, one.stage, one.to, one.is_sent) for one in sent] == [
        ("bare", "first", ("json",), True),
        ("bare", "over", ("json",), True),
    ]
    changes = [one for one in exchange.requests if one.method != "GET" and "rder" in one.path]
    assert len(changes) == 4  # what the bot did


def read_sent(path):
    """Return the alerts in a journal, oldest first."""
    facts = JournalReader(path).read_facts({"alert_sent"})
    return [decode(AlertSent, stored.body) for stored in facts]


class Post:
    """A watch in this process, whose rounds a test does one by one, and a bot beside it."""

    def __init__(self, client, journal, hook, *, services=None, heartbeat=None, policy=None, **options):
        self.client = client
        self.journal = Journal(journal)
        self.journal.open()
        self.shim = exit_shim.ExitShim(
            journal=journal, sinks=[], policy=None if policy is None else parse_policy(policy)
        )
        self.bot = self.shim.wrap(client)
        self.services = services or AlertServices([f"json://127.0.0.1:{hook.port}"], pauses_s=())
        self.sight = AccountSight(
            client, label_of(client), ExchangeLog(self.journal.append), "watch", options.pop("every_s", 1.0)
        )
        self.shown = []
        self.troubles = []
        self.watch = Watch(
            journal=self.journal,
            record=self.journal.append,
            sight=self.sight,
            services=self.services,
            show=self.shown.append,
            zone=Zone(str, UTC_CLOCK.time_of),
            options=WatchOptions(**{"grace_s": 0.3, "settle_s": 0.3, **options}),
            heartbeat=heartbeat,
            on_trouble=lambda *trouble: self.troubles.append(trouble),
        )

    def until(self, is_so, what="it"):
        """Do rounds until something is so."""
        until(is_so, f"{what}; {self.shown}", self.round)

    def round(self):
        self.watch.run_once()
        time.sleep(0.02)

    def rounds_for(self, seconds):
        """Do rounds for a while in which something might happen that must not."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def enter(self):
        self.client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        return self

    def protect(self, module="exit_brain"):
        with exit_shim.attributed(module):
            self.placed = self.bot.futures_create_order(**STOP)
        return self

    def cancel(self, module="rearm"):
        with exit_shim.attributed(module):
            self.bot.futures_cancel_algo_order(symbol="BTCUSDT", algoId=self.placed["algoId"])
        return self

    def covered(self):
        """Do rounds until the watch knows that the position is covered."""
        self.until(lambda: self.cover == "covered", "cover")
        return self

    @property
    def cover(self):
        return next((state.cover for state in self.watch._timeline.positions()), None)

    def close(self):
        self.shim.close()
        self.watch.end()
        self.services.stop()
        self.journal.close()
        assert self.troubles == []


@pytest.fixture
def make(client, hook, tmp_path):
    with contextlib.ExitStack() as undo:

        def begin(**options):
            post = Post(client, tmp_path / "journal.db", hook, **options)
            undo.callback(post.close)
            return post

        yield begin


def test_one_message_while_modules_fight(make, hook):
    """A stop that is stripped again and again is one episode, told once, and over once it stays."""
    post = make(settle_s=3600)
    post.enter().protect().covered().cancel()
    post.until(lambda: hook.posts, "the first message")
    for _ in range(5):
        post.protect().covered().cancel()
        post.until(lambda: post.cover == "bare", "bare")
        post.rounds_for(0.5)
    assert len(hook.posts) == 1
    post.client.futures_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.01)
    post.until(lambda: len(hook.posts) > 1, "the end")
    assert hook.titles[1].startswith("BTCUSDT is flat again after ")


def test_a_stop_that_is_replaced_within_the_grace_alarms_nobody(make, hook):
    """Cancel, then place, within the grace: no message, and the next strip that lasts is one."""
    post = make(grace_s=3600)
    post.enter().protect().covered()
    for _ in range(3):
        post.cancel()
        post.until(lambda: post.cover == "bare", "bare")
        post.protect().covered()
    assert hook.posts == []
    assert post.shown == []


def test_a_position_that_nobody_cancelled_for_is_told_without_a_name(make, hook):
    """A stop that was cancelled by hand is found by the look at the exchange, and blames no module."""
    post = make()
    post.enter().protect().covered()
    post.client.futures_cancel_algo_order(symbol="BTCUSDT", algoId=post.placed["algoId"])
    post.until(lambda: hook.posts, "a message")
    assert (
        "is no longer listed by the exchange, and no record says who took it away" in hook.posts[0]["message"]
    )


def test_the_exchanges_clock_is_known(make, exchange):
    """A watch learns how far the exchange's clock is ahead, for the time of a strip is told by that clock."""
    exchange.advance(4_000)
    post = make()
    assert post.sight.look_if_due()
    assert 2e9 < post.sight.offset_ns < 6e9


def test_many_positions_at_once_are_one_mail(make, hook):
    """Where four positions are bare in one round, the chat rings once; each is an event of its own."""
    post = make()
    sizes = {"BTCUSDT": 0.01, "ETHUSDT": 0.1, "SOLUSDT": 1, "XRPUSDT": 100}
    for symbol, size in sizes.items():
        post.client.futures_create_order(symbol=symbol, side="BUY", type="MARKET", quantity=size)
    # All of them are over the grace before the first round.
    post.sight.look_if_due()
    assert post.journal.flush()
    seen = time.monotonic()
    until(lambda: time.monotonic() > seen + 0.5)
    post.until(lambda: len(post.shown) == 4, "four events")
    (mail,) = hook.posts
    assert mail["title"].startswith("4 alerts at once: BTCUSDT is bare")
    assert [symbol for symbol in sizes if f"{symbol} is bare" not in mail["message"]] == []
    assert {sent.key.split()[1] for sent in post.shown} == set(sizes)


def test_a_watch_begins_without_a_network_and_not_with_a_wrong_key(exchange, start, hook):
    """An exchange that cannot be reached is waited for and told of; a refused key ends the command."""
    with exchange.refusing_connections():
        words = ("-m", "exit_shim", "watch", "--local", exchange.url, "--blind", 1)
        watch = start(*words, EXIT_SHIM_ALERT_URLS=f"json://127.0.0.1:{hook.port}")
        watch.wait_for("cannot be asked", watch.err)
        until(lambda: hook.posts, watch.text)
        assert hook.titles[0].startswith("the exchange could not be read for")
    until(lambda: len(hook.posts) > 1, "its end")
    assert watch.end(signal.SIGINT) == 0
    refused = start(*words, BINANCE_API_KEY="a-key-that-nobody-knows", BINANCE_API_SECRET="x" * 64)
    assert refused.end() == 2
    assert "cannot be asked" in refused.text
    assert "NO SERVICE" not in refused.text


def test_a_restart_repeats_nothing(make, hook):
    """The next watch does not tell of the same episode, and says when it is over, from its beginning."""
    post = make()
    post.enter().protect().covered().cancel()
    post.until(lambda: post.shown, "the first message")
    post.journal.flush()

    again = make()
    again.until(lambda: again.cover == "bare", "bare")
    again.rounds_for(1)
    assert len(hook.posts) == 1
    again.protect()
    again.until(lambda: again.shown, "the end")
    again.journal.flush()
    assert len(hook.posts) == 2
    (first, over) = read_sent(again.journal.path)
    assert (over.stage, over.since) == ("over", first.since)


def test_a_service_that_fails_or_hangs_delays_nothing_and_is_recorded(make, hook):
    """Looks go on, the other service gets its message, and the event says which one failed and why."""
    with Hook() as hanging, Hook() as failing:
        hanging.does, failing.does = "hang", "fail"
        urls = [f"json://127.0.0.1:{each.port}/{SECRETS[2]}" for each in (hook, failing, hanging)]
        post = make(services=AlertServices(urls, limit_s=2.0, pauses_s=(0.1,)))
        post.enter().protect().covered().cancel()
        post.until(lambda: hook.posts and failing.posts and hanging.posts, "messages")
        assert post.shown == []
        looks = post.sight.read_ns
        post.until(lambda: post.sight.read_ns > looks, "another look meanwhile")
        post.until(lambda: post.shown, "what became of it")
        (sent,) = post.shown
        assert (sent.to, sent.is_sent) == (("json",), False)
        # apprise has its own words for a status.
        assert sent.error.startswith("json-2: Failed to send JSON POST notification: ")
        assert sent.error.endswith("error=500.; json-3: no answer in time")
        assert len(failing.posts) == 2  # it was tried again
        assert post.journal.flush()
        assert SECRETS[2] not in sent.error
        assert SECRETS[2].encode() not in post.journal.path.read_bytes()
        post.close()


def test_an_alert_that_nobody_got_is_sent_again(make, hook, monkeypatch):
    """While the only service fails nobody counts as told; once it works, the alerts come."""
    monkeypatch.setattr("exit_shim.alerts.episodes.RETRY_NS", 300_000_000)
    hook.does = "fail"
    post = make()
    post.enter().protect().covered().cancel()
    post.journal.append(Lost("the disk was full", 7))
    post.until(lambda: {sent.alert for sent in post.shown} == {"bare", "lost"}, "failures")
    hook.does = "take"
    failed = len(hook.posts)
    post.until(lambda: {sent.alert for sent in post.shown if sent.to} == {"bare", "lost"}, "alerts")
    assert {title.split()[-1] for title in hook.titles[failed:]} == {"0.010", "gap"}


def test_an_event_that_cannot_be_taken_loses_no_other(make, hook, monkeypatch):
    """A round that ends in the middle of what is new goes on with the rest in the next one."""
    post = make()
    post.until(lambda: post.watch.can_see)
    raised = []

    def notice(stored):
        if not raised:
            raised.append(stored)
            raise ValueError("an event of a later release")
        return notice_event(stored)

    monkeypatch.setattr("exit_shim.alerts.watch.notice_event", notice)
    for by in ("one", "two", "three"):
        post.journal.append(Switch(by=by, enforce="off"))
    assert post.journal.flush()
    post.watch._run_guarded()
    assert len(post.troubles) == 1
    post.troubles.clear()
    post.until(lambda: len(post.shown) == 2, "the others")
    assert {sent.text.splitlines()[0] for sent in post.shown} == {"by: two", "by: three"}


def test_a_watch_goes_on_after_the_clock_was_set_back(make, hook):
    """A machine that boots two hours ahead is told of bare positions as soon as its clock is right."""
    beats = []
    heartbeat = SimpleNamespace(beat=lambda: beats.append(1))
    post = make(heartbeat=heartbeat, blind_s=9_999)
    post.enter().protect().covered()
    post.watch.run_once(time.time_ns() + 7_200 * 1_000_000_000)
    before = len(beats)
    post.watch.run_once()
    assert len(beats) == before
    post.cancel()
    post.until(lambda: hook.posts, "the bare position")
    assert "by: rearm" in hook.posts[0]["message"]
    assert len(beats) > before


def test_a_watch_keeps_nothing_that_it_does_not_need(make, client):
    """Other accounts, positions that nobody saw for an hour, times without a digest: none is kept."""
    post = make(blind_s=9_999)
    post.enter().protect().covered()
    other = exit_shim.ExitShim(journal=post.journal.path, sinks=[], account="other")
    other.wrap(client).futures_create_order(
        **{**STOP, "stopPrice": 49000, "closePosition": None, "quantity": 0.01}
    )
    other.close()
    post.cancel().until(lambda: post.cover == "bare", "bare")
    post.protect().covered()
    post.journal.append(Lost("so that the order before is read, too", 1))
    post.until(lambda: any(sent.alert == "lost" for sent in post.shown), "the last event")
    names = [state.position for state in post.watch._timeline.positions()]
    assert [(name.account, name.symbol) for name in names] == [(post.sight.account, "BTCUSDT")]
    assert list(post.watch._bare_times.take_lines()) == []
    post.watch.run_once(time.time_ns() + 7_200 * 1_000_000_000)
    assert post.watch._timeline.positions() == []


def test_a_blind_watch_says_so_and_beats_no_heart(make, exchange, hook):
    """While the exchange cannot be read there is one message and no heartbeat; then it says that it can."""
    heart = Hook()
    changes = []
    with heart:
        heartbeat = Heartbeat(f"http://127.0.0.1:{heart.port}/beat", changes.append, every_s=0.01)
        post = make(heartbeat=heartbeat, blind_s=1.5)
        post.until(lambda: heart.paths, "a heartbeat")
        with exchange.refusing_connections():
            post.until(lambda: hook.posts, "a message")
            beats = len(heart.paths)
            post.rounds_for(0.5)
            assert len(heart.paths) <= beats + 1  # one may have been on its way
            assert hook.titles[0].startswith("the exchange could not be read for 2 s")
        post.until(lambda: len(hook.posts) > 1, "its end")
        assert hook.titles[1].startswith("the exchange can be read again after")
        post.until(lambda: len(heart.paths) > beats + 1, "a heartbeat again")
        heart.does = "fail"
        post.until(lambda: changes, "a heartbeat that failed")
        assert changes == ["HTTP 500"]
        heartbeat.stop()


def test_one_good_look_does_not_end_blindness(make, exchange, hook):
    """An exchange that can be read now and then is one trouble; it must have been readable for a while."""
    post = make(blind_s=0.5, settle_s=3600)
    with exchange.refusing_connections():
        post.until(lambda: hook.posts, "a message")
    post.until(lambda: post.sight.problem is None, "a look")
    post.until(lambda: post.shown, "what became of it")
    for _ in range(5):
        post.round()
    assert [sent.stage for sent in post.shown] == ["first"]
    assert len(hook.posts) == 1


def test_a_journal_that_cannot_be_written_is_told(make, hook, monkeypatch):
    """Without the journal the watch learns nothing, so that counts as blind, too."""
    post = make(blind_s=0.5)
    post.until(lambda: post.watch.can_see)
    health = post.journal.health()
    with monkeypatch.context() as patched:
        patched.setattr(
            post.journal, "health", lambda: health._replace(last_error="database or disk is full")
        )
        post.until(lambda: hook.posts, "a message")
        assert hook.titles[0].startswith("the journal could not be read or written for")
        assert "database or disk is full" in hook.posts[0]["message"]
        assert not post.watch.can_see
    post.until(lambda: len(hook.posts) > 1, "its end")


def test_doubts_denials_switches_and_losses_are_told(make, hook, exchange):
    """Each is one message, with who, and where nothing is certain it says so."""
    policy = (
        'level = "enforce"\nlook_within_s = 10\n[modes.LEGACY]\nowners = ["exit_brain"]\nlegacy = ["rearm"]\n'
    )
    post = make(doubt_s=1.0, policy=policy)
    post.enter().protect().covered()
    for _ in range(3):
        with pytest.raises(exit_shim.ExitOrderDenied), exit_shim.attributed("rearm"):
            post.bot.futures_create_order(**{**STOP, "stopPrice": 49000})
    post.until(lambda: hook.posts, "the denial")
    assert hook.titles == ["a stop of rearm on BTCUSDT was denied"]
    assert "OWNERSHIP_CONFLICT" in hook.posts[0]["message"]

    post.shim.switch(enforce=False, by="ops")
    post.until(lambda: len(hook.posts) > 1, "the switch")
    assert hook.titles[1] == "enforcement was switched off"
    assert "by: ops" in hook.posts[1]["message"]

    post.journal.append(Lost("the disk was full", 7))
    post.until(lambda: len(hook.posts) > 2, "the loss")
    assert hook.titles[2] == "7 events were lost: the record has a gap"

    exchange.faults.inject(reset_after_execution(), path=STOP_PATH, times=1)
    with contextlib.suppress(Exception):
        post.protect()
    post.until(lambda: len(hook.posts) > 3, "the doubt")
    assert hook.titles[3].startswith("an order is in doubt")


def test_conflicts_come_once_a_day_with_who_fights_whom(make, hook):
    """62 conflicts are no message but a digest with counts by reason and the place of most cancels."""
    post = make(digest=next_minute(), grace_s=3600, blind_s=3600)
    post.enter().until(lambda: post.cover is not None)
    for _ in range(31):
        post.protect().cancel()
    assert hook.posts == []
    post.shim.flush()
    later = time.time_ns() + 120 * 1_000_000_000

    def round_later():
        post.watch.run_once(later)
        time.sleep(0.02)

    until(lambda: hook.posts, "the digest", round_later)
    (digest,) = hook.posts
    assert digest["title"].startswith("daily digest: ")
    assert "FOREIGN_CANCEL 31, mostly rearm" in digest["message"]
    assert "31 x rearm cancels exit_brain's" in digest["message"]


def test_what_the_journal_has_does_nothing_where_it_is_shown(make, hook):
    """Tags, controls and mentions in a module's name reach no chat as what they are."""
    page = AlertServices([f"json://127.0.0.1:{hook.port}?format=html"], pauses_s=())
    post = make(services=page)
    post.enter().protect().covered().cancel("<script>@everyone\x1b[31m\n</script>")
    post.until(lambda: hook.posts, "a message")
    assert "&lt;script&gt;@&nbsp;everyone" in hook.posts[0]["message"]
    for acting in ("<script>", "@everyone", "\x1b"):
        assert acting not in json.dumps(hook.posts[0])


@pytest.mark.parametrize(
    "words", [[], ["--plans", "plans.toml", "--once"], ["--plans", "plans.toml", "--dry-run"]]
)
def test_only_an_executor_that_keeps_at_it_alerts(words, tmp_path, monkeypatch):
    """`protect --alert` says which command alerts without an executor."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans.toml").write_text(PLANS)
    done = CliRunner().invoke(app, ["protect", "--alert", *words, "--local", "127.0.0.1:1"])
    assert done.exit_code == 2
    assert "`exit-shim watch` alerts without an executor" in done.output


def test_protect_alerts_while_it_runs(exchange, client, hook, start, tmp_path):
    """`exit-shim protect --alert` says where alerts go, sends them, and ends with its executor."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    plans = tmp_path / "plans.toml"
    plans.write_text(PLANS)
    words = ("-m", "exit_shim", "protect", "--plans", plans, "--local", exchange.url, "--alert")
    protect = start(*words, EXIT_SHIM_ALERT_URLS=f"json://127.0.0.1:{hook.port}/{SECRETS[2]}")
    protect.wait_for("PROTECTED")
    shim = exit_shim.ExitShim(journal=tmp_path / "journal.db", sinks=[])
    shim.switch(protect="pause", symbol="BTCUSDT", by="ops")
    shim.close()
    until(lambda: hook.posts, protect.text)
    assert hook.titles[0] == "the exit executor was told to pause BTCUSDT"
    protect.wait_for("ALERT enforcement", protect.err)
    assert protect.end(signal.SIGTERM) == 0
    assert "alerts    to json\n" in protect.err
    assert SECRETS[2] not in protect.text


def test_an_executors_process_alerts_by_itself(client, hook, tmp_path):
    """`protect --alert` tells of a pause, of the position that is bared under it, and of hands kept off."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    shim = exit_shim.ExitShim(journal=tmp_path / "journal.db", sinks=[])
    executor = ExitExecutor(client, stop_only, shim=shim, every_s=1)
    shown, services = [], AlertServices([f"json://127.0.0.1:{hook.port}"])
    options = WatchOptions(grace_s=0.3, settle_s=0.3)
    try:
        with alerting(executor, shim, client, services, shown.append, options):
            executor.start()
            until(lambda: any(each.state == "PROTECTED" for each in executor.protections.values()), "a stop")
            executor.pause("BTCUSDT")
            until(lambda: len(hook.posts) > 1, f"the pause; {shown}")
            assert set(hook.titles) == {
                "the exit executor was told to pause BTCUSDT",
                "the exit executor keeps its hands off BTCUSDT",
            }
            client.futures_cancel_all_algo_open_orders(symbol="BTCUSDT")
            until(lambda: len(hook.posts) > 2, f"the bare position; {shown}")
            assert hook.titles[2] == "BTCUSDT is bare: no stop closes its long position of 0.010"
            executor.resume("BTCUSDT")
            until(lambda: len(hook.posts) > 5, f"their ends; {shown}")
            ends = {title.partition(" after ")[0] for title in hook.titles[3:]}
            assert ends == {
                "BTCUSDT is covered again",
                "the exit executor can act again",
                "the exit executor was told to resume BTCUSDT",
            }
    finally:
        executor.stop()
        shim.close()
    assert len(read_sent(tmp_path / "journal.db")) == 6


def next_minute():
    """The time of day that a digest is due at, a minute from now, in UTC."""
    at = datetime.fromtimestamp(time.time() + 60, timezone.utc)
    return TimeOfDay(at.hour, at.minute)


def test_alert_test_says_what_each_service_answered(hook, start, tmp_path):
    """`exit-shim alert --test` sends to all and shows no address; its status says if one failed."""
    with Hook() as failing:
        failing.does = "fail"
        first = f"json://{SECRETS[0]}:{SECRETS[1]}@127.0.0.1:{hook.port}"
        urls = f"{first}, json://127.0.0.1:{failing.port}/{SECRETS[2]}"
        command = start("-m", "exit_shim", "alert", "--test", EXIT_SHIM_ALERT_URLS=urls)
        assert command.end() == 1
    assert command.out[0] == "json: sent\n"
    assert command.out[1].startswith("json-2: FAILED: Failed to send JSON POST notification")
    assert hook.titles == ["exit-shim: this is a test"]
    (sent,) = read_sent(tmp_path / "journal.db")
    assert (sent.alert, sent.to, sent.is_sent) == ("test", ("json",), False)
    assert not [secret for secret in SECRETS if secret in command.text + json.dumps(sent.error)]


@pytest.mark.parametrize(
    ("urls", "text"),
    [
        ("", "no service is configured: set EXIT_SHIM_ALERT_URLS"),
        (
            "telegraf://s3cretPassword/x",
            "address 1 in EXIT_SHIM_ALERT_URLS (telegraf) is not one that apprise",
        ),
        (
            "json://127.0.0.1:1 s3cretPassword",
            "address 2 in EXIT_SHIM_ALERT_URLS (?) is not one that apprise",
        ),
    ],
)
def test_addresses_that_cannot_be_used_are_refused_without_showing_them(start, urls, text):
    """The message names the address by its number and scheme."""
    command = start("-m", "exit_shim", "alert", EXIT_SHIM_ALERT_URLS=urls)
    assert command.end() == 2
    assert text in command.text
    assert "s3cret" not in command.text
