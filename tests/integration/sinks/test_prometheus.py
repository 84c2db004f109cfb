"""Metrics: what a real scrape says equals what a journal of genuine clients holds."""

import contextlib
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

import pytest
import requests
from abilities import needs_generated_ids
from binance.exceptions import BinanceAPIException
from click.testing import CliRunner
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

import exit_shim
from exit_shim.cli import app
from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Intent, Lost, OrderFindings, Outcome, PositionSeen
from exit_shim.domain.orders import ExitOrder
from exit_shim.domain.reason_codes import REASONS
from exit_shim.domain.verdicts import Reason
from exit_shim.guard.policy import parse_policy
from exit_shim.journal import IN_DOUBT, Journal, JournalReader, prune, read_records, state_of
from exit_shim.journal.record_source import EVERYTHING
from exit_shim.sinks.prometheus import Exporter, MetricsServer
from exit_shim.sinks.prometheus import labels as label_limits
from exit_shim.sinks.prometheus.declared import METRICS
from exit_shim.sinks.prometheus.server import MOST_AT_ONCE
from exit_shim.testing import faults

pytestmark = needs_generated_ids

SYMBOL, OWNER, LEGACY = "BTCUSDT", "exit_brain_v3", "position_monitor"
PLANTED = 'x"} 1\nexit_shim_up 0\n{module="\\" \x1b[31m\u202e'
SELL = {"symbol": SYMBOL, "side": "SELL"}
STOP = {**SELL, "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
POLICY = f'level = "enforce"\n[modes.EXIT_BRAIN_V3]\nowners = ["{OWNER}"]\nlegacy = ["{LEGACY}"]\n'
POLICY += '[rules.FOREIGN_CANCEL]\nlevel = "warn"\n[rules.STRIPPED]\nlevel = "warn"\n'

OTHER_BOT = """
    import sys

    from binance import Client

    import exit_shim
    from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

    client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
    client.FUTURES_URL = sys.argv[1] + "/fapi"
    shim = exit_shim.ExitShim(journal=sys.argv[2], sinks=[], mode="LEGACY")
    for price in (51000, 52000):
        with exit_shim.attributed("other_bot"):
            shim.wrap(client).futures_create_order(
                symbol="BTCUSDT",
                side="SELL",
                type="STOP_MARKET",
                stopPrice=price,
                quantity=0.001,
                reduceOnly="true",
            )
    # Closing waits a second at most: on a busy machine the rest is left to whoever opens the journal next.
    assert shim.journal.flush(60)
    shim.close()
    client.session.close()
"""


@pytest.fixture
def shim(tmp_path):
    """A shim that enforces, with a journal."""
    policy = parse_policy(POLICY, "it", frozenset())
    own = exit_shim.ExitShim(
        journal=tmp_path / "exits.db", policy=policy, mode="EXIT_BRAIN_V3", account="mine", sinks=[]
    )
    yield own
    own.close()


@pytest.fixture
def serve():
    """Serve the metrics of a journal over HTTP; return how to scrape them."""
    servers = []

    def start(source, **options):
        server = MetricsServer(Exporter(source, clock=Ticks(), **options))
        server.start()
        servers.append(server)
        return Scraper(server.url)

    yield start
    for server in servers:
        server.stop()


class Ticks:
    """A clock on which every look is two seconds after the last, so that no reading serves twice."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 2.0
        return self.now


class Scraper:
    """Scrape an address, and return its samples."""

    def __init__(self, url):
        self.url = url

    def get(self, accept="text/plain", url=None, **headers):
        request = urllib.request.Request(url or self.url, headers={"Accept": accept, **headers})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()

    def samples(self):
        status, _, text = self.get()
        assert status == 200
        return samples_of(text)


def samples_of(text):
    """The values of a text by name and labels."""
    samples = [sample for family in parse(text) for sample in family.samples]
    values = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(values) == len(samples)
    return values


def series(samples, name, *labels):
    """The values of a metric that are not zero, by the named labels."""
    found = {}
    for (sample, pairs), value in samples.items():
        if sample == name and value:
            values = tuple(dict(pairs)[label] for label in labels)
            found[values if len(values) > 1 else values[0]] = value
    return found


def orders_of(samples):
    return series(samples, "exit_shim_orders_total", "module", "intent", "kind", "outcome", "mode")


def counted(path):
    """The concluded orders of a journal, counted from its records."""
    return Counter(
        (
            record.intent.attribution.module,
            record.intent.operation,
            record.intent.order.kind,
            state_of(record.outcome, record.resolution),
            record.intent.mode,
        )
        for record in read_records(path)
        if state_of(record.outcome, record.resolution) != IN_DOUBT
    )


def by(module, method, **params):
    with exit_shim.attributed(module):
        return method(**params)


def live(shim, client, exchange):
    """Have modules place, fight, be refused and be denied, and leave one order in doubt."""
    wrapped = shim.wrap(client)
    create = wrapped.futures_create_order
    client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    placed = by(OWNER, create, **STOP)
    with pytest.raises(exit_shim.ExitOrderDenied):
        by(LEGACY, create, **{**STOP, "stopPrice": 49000})
    with pytest.raises(BinanceAPIException):
        by(OWNER, create, **{**STOP, "stopPrice": 90000})
    part = {**SELL, "type": "STOP_MARKET", "stopPrice": 51000, "quantity": 0.001, "reduceOnly": "true"}
    taken = by(OWNER, create, **part)
    by("rearm", wrapped.futures_cancel_algo_order, symbol=SYMBOL, algoId=taken["algoId"])
    exchange.faults.inject(faults.reset_after_execution(), method="POST", path="algoOrder")
    with pytest.raises(requests.RequestException):
        by(OWNER, create, **part)
    shim.flush()
    assert shim.journal.flush()
    return placed


def test_a_scrape_equals_the_journal(shim, client, exchange, serve):
    """Each order is counted once by what came of it; what is in doubt is apart, and so is who fought whom."""
    live(shim, client, exchange)
    samples = serve(JournalReader(shim.journal.path)).samples()
    orders = orders_of(samples)
    assert orders == counted(shim.journal.path)
    assert {outcome for _, _, _, outcome, _ in orders} == {"accepted", "rejected", "denied"}
    assert series(samples, "exit_shim_orders_in_doubt", "module") == {OWNER: 1}
    assert 0 < samples["exit_shim_orders_in_doubt_oldest_seconds", frozenset()] < 600
    assert series(samples, "exit_shim_fights_total", "module", "victim", "intent") == {
        ("rearm", OWNER, "cancel"): 1
    }
    findings = series(samples, "exit_shim_findings_total", "code", "module")
    assert findings == Counter(
        (reason.code, record.intent.attribution.module)
        for record in read_records(shim.journal.path)
        for reason in record.reasons
    )
    assert findings["FOREIGN_CANCEL", "rearm"] == 1
    sent = sum(1 for record in read_records(shim.journal.path) if not record.is_held)
    for name in ("exit_shim_before_send_seconds", "exit_shim_order_duration_seconds"):
        assert samples[f"{name}_count", frozenset()] == sent
        assert samples[f"{name}_bucket", frozenset({("le", "+Inf")})] == sent
    assert samples["exit_shim_up", frozenset()] == 1


def test_two_processes_are_counted_together(shim, client, exchange, serve):
    """What another process writes into the journal is in the same scrape, without any multiprocess mode."""
    live(shim, client, exchange)
    scraper = serve(JournalReader(shim.journal.path))
    before = orders_of(scraper.samples())
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OTHER_BOT), exchange.url, shim.journal.path], check=True
    )
    after = orders_of(scraper.samples())
    assert after == counted(shim.journal.path)
    assert after == {**before, ("other_bot", "place", "sl", "accepted", "LEGACY"): 2}


COUNTERS = ("_total", "_bucket", "_count")


def counters_of(samples):
    """All that must never go down."""
    return {key: value for key, value in samples.items() if key[0].endswith(COUNTERS)}


def test_counters_survive_prune_and_restarts(shim, client, exchange, serve):
    """After a prune no counter is lower, and what comes later adds to it; orders survive a restart too."""
    live(shim, client, exchange)
    source = JournalReader(shim.journal.path)
    scraper = serve(source)
    samples = scraper.samples()
    before, orders = counters_of(samples), orders_of(samples)
    prune(shim.journal.path, before_ns=time.time_ns())
    assert [state_of(record.outcome, record.resolution) for record in source.read_records()] == [IN_DOUBT]
    assert source.read_fights() == []
    assert counters_of(scraper.samples()) == before
    assert orders_of(serve(source).samples()) == orders

    target = {**STOP, "type": "TAKE_PROFIT_MARKET", "stopPrice": 99000}
    by(OWNER, shim.wrap(client).futures_create_order, **target)
    shim.flush()
    assert shim.journal.flush()
    after = scraper.samples()
    placed = OWNER, "place", "tp", "accepted", "EXIT_BRAIN_V3"
    assert orders_of(after) == {**orders, placed: 1}
    name = "exit_shim_order_duration_seconds_count", frozenset()
    assert after[name] == before[name] + 1


def test_a_bare_position_is_named(shim, client, exchange, serve):
    """A position counts by its cover; a bare one has its age, and the module that took its stop away."""
    wrapped = shim.wrap(client)
    client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    placed = by(OWNER, wrapped.futures_create_order, **STOP)
    shim.watch(client, every=3600)
    (poller,) = shim.account_feeds.pollers
    poller.look()
    shim.flush()
    scraper = serve(JournalReader(shim.journal.path))
    assert series(scraper.samples(), "exit_shim_positions", "cover") == {"covered": 1}
    by("rearm", wrapped.futures_cancel_algo_order, symbol=SYMBOL, algoId=placed["algoId"])
    account = "mine@" + exchange.url.removeprefix("http://")
    names = "account", "symbol", "position_side"
    # At once, and after the exchange's list has shown it again.
    for look in (lambda: None, poller.look):
        look()
        shim.flush()
        assert shim.journal.flush()
        samples = scraper.samples()
        assert series(samples, "exit_shim_positions", "cover") == {"bare": 1}
        covers = series(samples, "exit_shim_position_cover", *names, "cover")
        assert covers == {(account, SYMBOL, "BOTH", "bare"): 1}
        ((labels, seconds),) = series(samples, "exit_shim_position_bare_seconds", *names, "bared_by").items()
        assert labels == (account, SYMBOL, "BOTH", "rearm")
        assert 0 < seconds < 600


class LookBackReader(JournalReader):
    """Counts how often the orders of one symbol are read, to find out who bared a position."""

    look_backs = 0

    def read_records(self, wanted=EVERYTHING):
        self.look_backs += wanted.symbol is not None
        return super().read_records(wanted)


def test_who_bared_a_position_is_looked_for_once(shim, client):
    """While a position stays bare nobody looks back again; an episode between two scrapes is another one."""
    wrapped = shim.wrap(client)
    client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    shim.watch(client, every=3600)
    (poller,) = shim.account_feeds.pollers
    source = LookBackReader(shim.journal.path)
    exporter = Exporter(source, clock=Ticks())

    def strip(module):
        placed = by(OWNER, wrapped.futures_create_order, **STOP)
        by(module, wrapped.futures_cancel_algo_order, symbol=SYMBOL, algoId=placed["algoId"])

    def scrape():
        poller.look()
        shim.flush()
        assert shim.journal.flush()
        source.look_backs = 0
        samples = samples_of(exporter.render()[0].decode())
        (module,) = series(samples, "exit_shim_position_bare_seconds", "bared_by")
        (state,) = exporter._memory.positions.states
        return module, state.since_ns, source.look_backs > 0

    strip("rearm")
    first = scrape()
    assert first == ("rearm", first[1], True)
    assert scrape() == ("rearm", first[1], False)
    began_ns = time.time_ns()
    strip("hybrid")
    module, since_ns, has_looked_back = scrape()
    assert (module, has_looked_back) == ("hybrid", True)
    assert since_ns > began_ns


def order(journal, module, *, kind="sl", outcome="accepted"):
    """An order of a module in a journal made by hand."""
    intent = Intent(
        ts=time.time_ns(),
        door="futures_create_order",
        operation="place",
        order=ExitOrder(kind=kind, symbol=SYMBOL, side="SELL"),
        attribution=Attribution(module=module, evidence="stack", function="f", file="f.py", line=1),
        mode="LEGACY",
        account="mine",
    )
    seq = journal.append(intent)
    journal.append(Outcome(outcome, order_id=seq, presend_us=30, total_us=2_000), (journal.run_id, seq))
    return seq


def raise_it(error):
    raise error


@pytest.fixture
def journal(tmp_path):
    """A journal to be filled by hand."""
    own = Journal(tmp_path / "exits.db", raise_it)
    yield own
    own.close()


def test_a_position_that_nobody_looks_at_is_unknown(journal, serve, monkeypatch):
    """What may have been open when it was last seen is reported for a day, and what was flat is not."""
    for symbol, amount in (("BTCUSDT", "1"), ("ETHUSDT", "0"), ("ODD", "x")):
        seen = {"symbol": symbol, "amount": amount, "exits": (), "guarded": "0", "again_s": 60}
        journal.append(PositionSeen(account="mine", position_side="BOTH", source="watch", **seen))
    assert journal.flush()
    scraper, now = serve(JournalReader(journal.path)), time.time_ns()
    expected = {1: {"bare": 1, "unknown": 1}, 600: {"unknown": 2}, 3600: {"unknown": 2}, 90_000: {}}
    for later_s, covers in expected.items():
        monkeypatch.setattr(time, "time_ns", lambda later_s=later_s: now + later_s * 10**9)
        samples = scraper.samples()
        assert samples["exit_shim_up", frozenset()] == 1
        assert series(samples, "exit_shim_positions", "cover") == covers


def test_planted_labels_reach_nobody(journal, serve):
    """A module, symbol or account cannot add samples or labels, and sends no terminal code."""
    seq = order(journal, PLANTED)
    journal.append(OrderFindings((Reason(PLANTED, {}),)), (journal.run_id, seq))
    journal.append(
        PositionSeen(
            account=PLANTED,
            symbol=PLANTED,
            position_side="BOTH",
            amount="1",
            exits=(),
            guarded="0",
            source="watch",
            again_s=60,
        )
    )
    assert journal.flush()
    scraper = serve(JournalReader(journal.path))
    text = scraper.get()[2]
    samples = samples_of(text)
    shown = PLANTED.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert set(series(samples, "exit_shim_orders_total", "module")) == {shown}
    assert (shown, shown) in series(samples, "exit_shim_findings_total", "code", "module")
    assert series(samples, "exit_shim_position_bare_seconds", "account", "symbol").keys() == {(shown, shown)}
    assert samples["exit_shim_up", frozenset()] == 1
    assert all(line.isprintable() for line in text.splitlines())
    assert {name for name, _ in samples} <= names_of_samples()
    once = CliRunner().invoke(app, ["metrics", "--once"], env={"EXIT_SHIM_JOURNAL": str(journal.path)})
    assert orders_of(samples_of(once.stdout)) == orders_of(samples)
    strict = list(parse_openmetrics(scraper.get(accept="application/openmetrics-text;version=1.0.0")[2]))
    assert {sample.name for family in strict for sample in family.samples} == {name for name, _ in samples}


def names_of_samples():
    """The names that a scrape may have."""
    suffixes = ("", "_bucket", "_count", "_sum")
    return {name + suffix for name in METRICS for suffix in suffixes}


def test_the_number_of_series_is_bounded(journal, serve, monkeypatch):
    """Modules beyond the limit are counted as "other"; none loses its label, and no counter goes down."""
    monkeypatch.setattr(label_limits, "MOST_MODULES", 5)
    for number in range(20):
        for _ in range(1 + (number < 5)):
            order(journal, f"module{number}")
    assert journal.flush()
    scraper = serve(JournalReader(journal.path))
    first = series(scraper.samples(), "exit_shim_orders_total", "module")
    assert first == {**{f"module{number}": 2 for number in range(5)}, "other": 15}
    for _ in range(9):
        order(journal, "module19")
    assert journal.flush()
    later = series(scraper.samples(), "exit_shim_orders_total", "module")
    assert later == {**first, "other": 24}


def test_every_metric_is_declared(tmp_path, serve):
    """With no journal, and with one without orders, every metric is declared; known label sets are zero."""
    problems = []
    path = tmp_path / "none.db"
    scraper = serve(JournalReader(path), on_problem=problems.append)
    _, _, text = scraper.get()
    assert all(f"# TYPE {name} " in text and f"# HELP {name} " in text for name in METRICS)
    samples = samples_of(text)
    assert {name for name, _ in samples} == {"exit_shim_up", "exit_shim_build_info"}
    assert samples["exit_shim_up", frozenset()] == 0

    journal = Journal(path, raise_it)
    journal.append(Lost("disk full", 3))
    assert journal.flush()
    samples = scraper.samples()
    assert samples["exit_shim_up", frozenset()] == 1
    assert samples["exit_shim_lost_events_total", frozenset()] == 3
    assert samples["exit_shim_orders_in_doubt_oldest_seconds", frozenset()] == 0
    assert samples["exit_shim_order_duration_seconds_count", frozenset()] == 0
    zeros = {dict(pairs)["code"] for (name, pairs) in samples if name == "exit_shim_findings_total"}
    assert zeros == set(REASONS)
    assert {dict(pairs)["cover"] for (name, pairs) in samples if name == "exit_shim_positions"} == {
        *("covered", "partly", "bare", "unknown")
    }
    ((host, seconds),) = series(samples, "exit_shim_lag_seconds", "host").items()
    assert host
    assert 0 < seconds < 600
    journal.close()

    path.write_bytes(b"no database at all" * 1000)
    assert scraper.samples()["exit_shim_up", frozenset()] == 0
    assert [bool(problem) for problem in problems] == [True, False, True]
    assert "there is no journal" in problems[0]


class CountingReader(JournalReader):
    """Counts its readings; the first waits until all scrapes have been asked for."""

    def __init__(self, path, scrapes):
        super().__init__(path)
        self.readings = 0
        self.all_are_here = threading.Barrier(scrapes)

    def read_counters(self):
        self.readings += 1
        return super().read_counters()


def test_scrapes_at_the_same_time_share_one_reading(journal):
    """Many scrapers cost one reading a second; one of two seconds later reads again."""
    order(journal, "brain")
    assert journal.flush()
    source, now = CountingReader(journal.path, 8), [100.0]
    exporter = Exporter(source, clock=lambda: now[0])
    answers = []

    def scrape():
        source.all_are_here.wait(60)
        answers.append(exporter.render())

    threads = [threading.Thread(target=scrape) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert source.readings == 1
    now[0] += 0.9
    exporter.render()
    assert source.readings == 1
    now[0] += 0.2
    exporter.render()
    assert source.readings == 2


def test_only_metrics_are_served_and_only_to_who_names_this_machine(journal, serve):
    """Another path is not found, and a page in a browser that comes by a name of its own is refused."""
    scraper = serve(JournalReader(journal.path))
    for headers, path, status in (
        ({}, "/", 404),
        ({"Host": "evil.example:80"}, "/metrics", 403),
        ({"Host": "[::1]:80"}, "/metrics", 200),
        ({"Host": "localhost"}, "/metrics", 200),
    ):
        url = scraper.url.removesuffix("/metrics") + path
        if status == 200:
            assert scraper.get(url=url, **headers)[0] == 200
        else:
            with pytest.raises(urllib.error.HTTPError) as refused:
                scraper.get(url=url, **headers)
            refused.value.close()
            assert refused.value.code == status


def test_the_command_serves_until_it_is_told_to_stop(journal):
    """SIGTERM and Ctrl-C end it with status 0 and without a traceback; a port in use is one line."""
    order(journal, "brain")
    assert journal.flush()
    command = [sys.executable, "-m", "exit_shim", "metrics", "--port"]
    environment = {"EXIT_SHIM_JOURNAL": str(journal.path), "PATH": ""}
    for number in (signal.SIGTERM, signal.SIGINT):
        with started([*command, "0"], environment) as served:
            url = served.stdout.readline().rsplit(maxsplit=1)[-1]
            assert set(series(Scraper(url).samples(), "exit_shim_orders_total", "module")) == {"brain"}
            port = url.removesuffix("/metrics").rpartition(":")[2]
            second = subprocess.run(
                [*command, port], env=environment, text=True, capture_output=True, check=False, timeout=60
            )
            assert second.stderr == (
                f"Error: cannot listen on 127.0.0.1:{port}: Address already in use; "
                "choose another with --host or --port\n"
            )
            assert second.returncode == 1
            served.send_signal(number)
            assert served.wait(60) == 0
            assert served.stderr.read() == ""


def test_a_missing_library_is_named(journal, monkeypatch):
    """Without prometheus-client the command says what to install, in one line."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    done = CliRunner().invoke(app, ["metrics", "--once", "--journal", str(journal.path)])
    expected = "Error: exit-shim's metrics need prometheus-client: pip install 'exit_shim[prometheus]'\n"
    assert (done.exit_code, done.output) == (1, expected)


@contextlib.contextmanager
def started(command, environment):
    """A process that does not outlive a failed test."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_crowd_of_silent_connections_takes_no_threads_without_end(shim):
    """What comes while too many are being answered is turned away, and answered once they are gone."""
    server = MetricsServer(Exporter(JournalReader(shim.journal.path)))
    server.start()

    def connect():
        # Less than the server's patience with a silent connection.
        return socket.create_connection(("127.0.0.1", server.port), timeout=5)

    try:
        with contextlib.ExitStack() as crowd:
            for _ in range(MOST_AT_ONCE):
                crowd.enter_context(connect())
            with connect() as one_more:
                assert one_more.recv(1) == b""
        assert wait_for(lambda: requests.get(server.url, timeout=5).ok)
    finally:
        server.stop()


def wait_for(answered, limit_s=20):
    """Ask until it is answered, or no time is left."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        with contextlib.suppress(requests.ConnectionError):
            return answered()
        time.sleep(0.05)
    return False
