"""Who may read the live page, and how the server begins and ends: over plain HTTP, as a process."""

import contextlib
import http.client
import itertools
import json
import signal
import socket
import subprocess
import sys

import pytest
from page_server import PageProcess

import exit_shim
from exit_shim.journal import JournalReader, RecordFilter
from exit_shim.reports.page.access import CONTENT_SECURITY_POLICY

NUMBERS = itertools.count(1)

PATHS = ["/", "/page.js", "/events", "/nothing", "/sign-in"]


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server that tests only ask."""
    server = PageProcess(tmp_path_factory.mktemp("served") / "journal.db")
    yield server
    server.kill()


def ask(server, path, method="GET", **headers):
    """Return status, headers and the beginning of the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(
            method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        is_stream = answer.getheader("Content-Type", "").startswith("text/event-stream")
        return answer.status, answer.headers, answer.readline() if is_stream else answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_it_only_reads(served, method):
    """Any method but GET and HEAD is refused on every path."""
    assert {ask(served, path, method)[0] for path in PATHS} == {405}


def test_a_head_is_answered(served):
    """HEAD gets what GET gets, without a body."""
    assert ask(served, "/", "HEAD")[0] == 200
    assert ask(served, "/", "HEAD")[2] == b""


def test_other_names_are_refused(served):
    """A Host that is not this machine's is refused on every path, whatever its port."""
    bad = [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "",
        "[::2]",
        "localhost.",
        "127.0.0.2",
    ]
    for host in bad:
        assert {ask(served, path, Host=host)[0] for path in PATHS} == {421}, host
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:99", f"[::1]:{served.port}"]:
        assert ask(served, "/", Host=host)[0] == 200, host


def test_other_sites_pages_are_refused(served):
    """What another site's page asks for is refused; a link to the page works."""
    for site in ["cross-site", "same-site"]:
        assert ask(served, "/events", Sec_Fetch_Site=site, Sec_Fetch_Mode="cors")[0] == 403
        assert ask(served, "/page.js", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")[0] == 403
        assert ask(served, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")[0] == 200
    assert ask(served, "/events", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors")[0] == 200


def test_every_answer_has_the_headers(served):
    """Found, missing and refused alike say what a browser may do; nothing allows other origins."""
    answers = [ask(served, path) for path in PATHS]
    answers += [ask(served, "/", "POST"), ask(served, "/", Host="evil.example"), ask(served, "/%00")]
    for _, headers, _ in answers:
        assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "exit-shim"
        assert not [name for name in headers if name.lower().startswith("access-control")]
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_beyond_this_machine_a_token_is_needed(journal):
    """Bound to all addresses, nothing of the record is told without cookie or token."""
    server = PageProcess(journal, "--bind", "0.0.0.0")
    try:
        _, _, token = server.url.partition("#token=")
        assert len(token) >= 32
        for path in ["/", "/events", "/metrics", "/nothing"]:
            assert ask(server, path)[0] == 401
            assert ask(server, path, Authorization="Bearer wrong")[0] == 401
            assert ask(server, path, Cookie=f"exit_shim_{server.port}={token}")[0] == 401
            assert ask(server, path, Cookie=f"exit_shim_{server.port}=é")[0] == 401
        assert ask(server, "/events", Authorization=f"Bearer {token}")[0] == 200
        status, headers, _ = ask(server, "/session", Authorization=f"Bearer {token}")
        cookie = headers["Set-Cookie"]
        assert status == 204
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert ask(server, "/events", Cookie=cookie.partition(";")[0])[0] == 200
        assert ask(server, "/session")[0] == 401
        status, out, err = server.stop()
        assert (status, out, err) == (0, "stopped\n", "")
    finally:
        server.kill()


def test_a_token_of_the_environment_is_not_printed(journal):
    """EXIT_SHIM_PAGE_TOKEN holds on loopback too, and is not shown; a short one is refused."""
    token = "a-token-of-the-environment"
    server = PageProcess(journal, EXIT_SHIM_PAGE_TOKEN=token)
    try:
        assert token not in "".join(server.lines)
        assert ask(server, "/events")[0] == 401
        assert ask(server, "/events", Authorization=f"Bearer {token}")[0] == 200
    finally:
        server.kill()
    done = serve_briefly("--port", "0", EXIT_SHIM_PAGE_TOKEN="short")
    assert done.returncode == 2
    assert "EXIT_SHIM_PAGE_TOKEN is too short" in done.stderr


def serve_briefly(*options, **environment):
    """Run a server that ends at once."""
    command = [sys.executable, "-m", "exit_shim", "serve", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


def test_a_port_in_use_is_one_line():
    """A port that somebody has ends the command with one line that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve_briefly("--port", str(port))
    assert done.returncode == 1
    assert (
        done.stderr
        == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use; name another --port\n"
    )


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ("--from nonsense://x", 1, "not a PostgreSQL DSN"),
        ("--bind 192.0.2.1", 2, "'192.0.2.1' is not an address of this machine"),
        ("--window 5", 2, "'5' is not an age; expected 90s, 15m, 2h or 7d"),
        ("--window 30d", 2, "'30d' is not between 60s and 7d"),
    ],
)
def test_wrong_options_are_one_line(options, status, text):
    """What cannot be meant ends the command with a line that says why, and no traceback."""
    done = serve_briefly(*options.split())
    assert done.returncode == status
    assert text in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once(journal, number):
    """Ctrl-C and SIGTERM end it in good order, browsers that listen notwithstanding."""
    served = PageProcess(journal)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("GET", "/events")
    assert connection.getresponse().readline() == b"retry: 1000\n"
    assert served.stop(number) == (0, "stopped\n", "")
    connection.close()


def test_the_start_says_where_and_what(journal):
    """The first lines are the address and what is followed, with the filters."""
    server = PageProcess(journal, "--symbol", "btcusdt")
    server.kill()
    assert server.lines[0] == f"serving http://127.0.0.1:{server.port}/"
    assert server.lines[1].startswith(f"follows the journal {journal}, --symbol")


def read_events(server, path="/events?show=", **headers):
    """Yield the name, id and value of each event of a stream."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer, fields = connection.getresponse(), {}
        while True:
            name, _, value = answer.readline().decode().rstrip("\n").partition(": ")
            if not name and "data" in fields:
                yield fields["event"], fields.get("id"), json.loads(fields["data"])
                fields = {}
            elif name:
                fields[name] = value


def find_event(server, is_wanted, path="/events?show=", **headers):
    """Return the first event of a stream that is wanted."""
    events = read_events(server, path, **headers)
    with contextlib.closing(events):
        return next(event for event in events if is_wanted(*event))


def is_news(event, event_id, data):
    return event != "beat"


def record_orders(journal, number):
    """Have a bot place some stops on two symbols."""

    class FakeClient:
        def futures_create_order(self, **params):
            return {"algoId": next(NUMBERS), "algoStatus": "NEW"}

    shim = exit_shim.ExitShim(journal=journal, account="mine", sinks=[])
    client = shim.wrap(FakeClient())
    for each in range(number):
        client.futures_create_order(
            symbol=["BTCUSDT", "ETHUSDT"][each % 2],
            side="SELL",
            type="STOP_MARKET",
            stopPrice=5,
            quantity=each + 1,
        )
    shim.close()
    return next(iter(JournalReader(journal).read_records(RecordFilter()))).intent.account


def test_a_stream_is_resumed_by_its_id(journal):
    """Without an id, with a foreign or an old one everything is sent; with the last one the changes alone."""
    account = record_orders(journal, 6)
    server = PageProcess(journal)
    key = f"{account}%09BTCUSDT%09BOTH"
    try:
        path = f"/events?show={key}"
        first = find_event(server, is_news, path)
        assert len(first[2]["lives"]) == 3
        record_orders(journal, 2)
        for event_id in ["", "x-1", f"{first[1].partition('-')[0]}-999", "-", "9" * 30]:
            event = find_event(server, is_news, path, **{"Last-Event-ID": event_id})
            assert event[0] == "reset", event_id
        resumed = find_event(
            server, lambda *event: event[2].get("lives"), path, **{"Last-Event-ID": first[1]}
        )
        assert resumed[0] == "tick"
        assert [life["n"] for life in resumed[2]["lives"]] == [7]
    finally:
        server.kill()


def test_a_filter_narrows_what_is_served(journal):
    """With --symbol only its positions are told of."""
    record_orders(journal, 6)
    server = PageProcess(journal, "--symbol", "ethusdt")
    try:
        event = find_event(server, is_news)
        assert [position["symbol"] for position in event[2]["state"]["positions"]] == ["ETHUSDT"]
    finally:
        server.kill()


def test_a_journal_that_is_not_there_yet(journal):
    """The server starts before the journal, says what is missing, and shows it once it is there."""
    server = PageProcess(journal)
    try:
        event = find_event(server, lambda *event: event[2].get("problem"))
        assert event[2]["problem"].startswith(f"there is no journal at {journal}")
        record_orders(journal, 2)
        assert find_event(server, is_news)[0] == "reset"
    finally:
        server.kill()


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""], ids=["damaged", "empty"])
def test_a_damaged_or_empty_journal(journal, content):
    """What cannot be read is said, in one line, and the server lives."""
    journal.write_bytes(content)
    server = PageProcess(journal)
    try:
        if content:
            event = find_event(server, lambda *event: event[2].get("problem"))
            assert str(journal) in event[2]["problem"]
        else:
            event = find_event(server, is_news)
            assert event[2]["state"]["positions"] == []
        assert server.stop()[0] == 0
    finally:
        server.kill()
