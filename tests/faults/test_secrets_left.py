"""No secrets after failures: every byte that dying, hindered and damaged bots have left is searched."""

import itertools
import os
import re
import signal

import harm
import pytest
from odd_server import OddServer, answer, hang, reset

from exit_shim.journal import JournalReader, read_records

KEY, SECRET, HEADER = "PlAnTeD+Key/4711==", "pLaNtEd&Secret%2F0815", "planted-HEADER-value-42"
PASSWORD, OPTION, SIGNATURE = "planted-Proxy-Pa55", "planted-option-0042", "0123456789abcdef" * 4
PLANTED = (KEY, SECRET, HEADER, PASSWORD, OPTION, SIGNATURE)

ECHO = (
    f"X-MBX-APIKEY: {KEY} apiKey={KEY} secret {SECRET} session {HEADER} http://user:{PASSWORD}@proxy/ "
    f"&signature={SIGNATURE} token={OPTION}"
)

BOT = f"""
logging.basicConfig(level=logging.INFO)
logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # the client's own, which says what it likes
KEY, SECRET, HEADER, PASSWORD, OPTION = {(KEY, SECRET, HEADER, PASSWORD, OPTION)!r}
class Sink:
    def on(self, recorded):
        raise OSError(f"postgresql://bot:{{PASSWORD}}@db/x password={{PASSWORD}} refused, api_key={{KEY}}")
shim = exit_shim.ExitShim(journal=JOURNAL, sinks=[Sink(), exit_shim.sinks.log.LogSink()])
bare = Client(KEY, SECRET, ping=False)
bare.session.headers["X-Session"] = HEADER
bare._requests_params = {{"timeout": 1}}
bare.note = SECRET
client = exit_shim.wrap(bare, shim=shim)
ORDER = {{**EXIT, "headers": {{"X-Session": HEADER, "Authorization": "Bearer " + HEADER}},
         "apiKey": KEY, "secret": SECRET, "token": OPTION, "note": SECRET}}
def orders(times):
    for _ in range(times):
        with contextlib.suppress(Exception):
            client.futures_create_order(**ORDER)
"""

FAILURES = {
    "killed": "orders(4); os.kill(os.getpid(), signal.SIGKILL)",
    "locked": """
        orders(1); shim.flush()
        other = sqlite3.connect(JOURNAL, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        orders(4)
        shim.flush()
        os._exit(0)
    """,
    "nowhere to write": """
        shim.close()
        for name in os.listdir(os.path.dirname(JOURNAL)):
            remove = shutil.rmtree if name.endswith("spool") else os.unlink
            remove(os.path.join(os.path.dirname(JOURNAL), name))
        os.makedirs(JOURNAL)
        open(JOURNAL + "-spool", "w").close()
        orders(4)
        shim.close()
        print(shim.summary(), shim, shim.journal)
    """,
    "taken away": """
        orders(2); shim.flush()
        for name in ("", "-wal", "-shm"):
            os.unlink(JOURNAL + name)
        orders(2)
        shim.close()
        print(shim.summary())
    """,
    "too large": """
        orders(1); shim.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        orders(4)
        shim.flush()
        print(shim.summary())
        os._exit(0)
    """,
    "terminated": "orders(4); os.kill(os.getpid(), signal.SIGTERM)",
}

ANSWERS = [
    answer(200, {"orderId": 1, "token": OPTION}),
    answer(400, {"code": -2015, "msg": ECHO}),
    answer(503, {"msg": "Unknown error, please check. " + ECHO}),
    reset,
    hang,
]


NUMBERS = itertools.count()


def changing(connection, request):
    """Behaviour: another answer each time."""
    ANSWERS[next(NUMBERS) % len(ANSWERS)](connection, request)


@pytest.mark.parametrize("failure", FAILURES)
def test_no_secret_is_left_by_a_failure(path, tmp_path, failure):
    """What was planted in keys, headers, environment, options and error texts is in no byte that is left."""
    with OddServer(changing) as server:
        process = harm.bot(
            BOT + FAILURES[failure].replace("\n        ", "\n"),
            server,
            path,
            before="import resource, shutil, sqlite3, exit_shim, exit_shim.sinks.log",
            env={"BINANCE_API_KEY": KEY, "BINANCE_API_SECRET": SECRET},
        )
        said, _ = process.communicate(timeout=50)
    assert process.returncode in (0, -signal.SIGKILL, -signal.SIGTERM), harm.log_of(process)
    assert any(KEY in request and HEADER in request for request in server.requests)
    found = {"streams": said + harm.log_of(process)}
    assert "internal error" in found["streams"] or failure in ("killed", "terminated")
    for step in ("as it was left", "taken up"):
        for file in tmp_path.rglob("*"):
            if file.is_file():
                found[f"{file.name} {step}"] = file.read_bytes().decode("latin-1")
        if path.is_file():
            list(read_records(path))
            assert JournalReader(path).count_lost() == 0
    for words in (("summary", "--json"), ("records", "--json"), ("doctor",)):
        found[words[0]] = harm.command(path, *words)
    assert len(found) > 4
    assert re.search("in doubt|unknown|accepted", "".join(found.values()))
    for place, text in found.items():
        left = [piece for secret in PLANTED for piece in (secret, secret[:12], secret[-12:]) if piece in text]
        assert left == [], (place, os.fspath(path))
