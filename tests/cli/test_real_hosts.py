"""Bots with Binance's real addresses in them live on the local exchange of a `--local` run."""

import json
import os
import re
import textwrap
from pathlib import Path

import pytest
import trustme
from local_runs import local_run, run_attempts

pytestmark = pytest.mark.xdist_group("real_hosts")  # whose workers share what a fixture has run

CLIENTS = """
import asyncio, http.client, socket, ssl, time, urllib.request
import aiohttp, httpx, requests, urllib3, websocket, websockets
import websockets.sync.client

PING = "https://fapi.binance.com/fapi/v1/time"
STREAM = "wss://fstream.binance.com/ws/btcusdt@bookTicker"

@attempt
def with_requests(): return requests.get(PING, timeout=60).json()
@attempt
def with_a_session_and_a_bundle():
    import certifi
    session = requests.Session()
    session.verify = certifi.where()
    return session.get(PING, timeout=60).json()
@attempt
def with_urllib3(): return urllib3.PoolManager().request("GET", PING).json()
@attempt
def with_urllib(): return urllib.request.urlopen(PING, timeout=60).read()
@attempt
def with_http_client():
    connection = http.client.HTTPSConnection("fapi.binance.com", timeout=60)
    connection.request("GET", "/fapi/v1/time")
    return connection.getresponse().read()
@attempt
def with_httpx(): return httpx.get(PING).json()
@attempt
def with_async_httpx():
    async def get():
        async with httpx.AsyncClient() as client: return (await client.get(PING)).json()
    return asyncio.run(get())
async def get(url, **settings):
    async with aiohttp.ClientSession() as session, session.get(url, **settings) as answer:
        return await answer.json()
@attempt
def with_aiohttp(): return asyncio.run(get(PING))
@attempt
def with_an_own_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return asyncio.run(get(PING, ssl=context))
@attempt
def with_an_address_looked_up_before():
    address = socket.gethostbyname("fapi.binance.com")
    with socket.create_connection((address, 443), timeout=60) as plain:
        with ssl.create_default_context().wrap_socket(plain, server_hostname="fapi.binance.com") as made:
            made.sendall(b"GET /fapi/v1/time HTTP/1.0\\r\\nHost: fapi.binance.com\\r\\n\\r\\n")
            return made.makefile("rb").read()
@attempt
def with_plain_http(): return requests.get(PING.replace("https", "http"), timeout=60).json()
@attempt
def with_asyncio_streams():
    async def talk():
        reader, writer = await asyncio.open_connection("fapi.binance.com", 443, ssl=True)
        writer.write(b"GET /fapi/v1/time HTTP/1.0\\r\\nHost: fapi.binance.com\\r\\n\\r\\n")
        answer = await reader.read()
        writer.close()
        return answer
    return asyncio.run(talk())
def fetch(url): return requests.get(url, timeout=60).json()
@attempt
def with_a_fork():
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(1) as pool: return pool.map(fetch, [PING])

@attempt
def stream_with_websockets():
    async def receive():
        async with websockets.connect(STREAM) as stream: return await stream.recv()
    return asyncio.run(receive())
@attempt
def stream_with_sync_websockets():
    with websockets.sync.client.connect(STREAM) as stream: return stream.recv(timeout=60)
@attempt
def stream_with_aiohttp():
    async def receive():
        async with aiohttp.ClientSession() as session, session.ws_connect(STREAM) as stream:
            return (await stream.receive()).data
    return asyncio.run(receive())
@attempt
def stream_with_websocket_client():
    stream = websocket.create_connection(STREAM, timeout=60)
    try: return stream.recv()
    finally: stream.close()
@attempt
def stream_at_another_port():
    stream = websocket.create_connection(STREAM.replace(".com/", ".com:9443/"), timeout=60)
    try: return stream.recv()
    finally: stream.close()

@attempt
def pinned_fingerprint_of_urllib3():
    pool = urllib3.HTTPSConnectionPool("api1.binance.com", assert_fingerprint="AA" * 32, retries=False)
    pool.request("GET", "/")
@attempt
def pinned_fingerprint_of_aiohttp():
    asyncio.run(get("https://api2.binance.com/", ssl=aiohttp.Fingerprint(b"x" * 32)))
@attempt
def pinned_bundle():
    requests.get("https://api3.binance.com/", verify=sys.argv[2], timeout=60)
@attempt
def pinned_bundle_of_a_context():
    asyncio.run(get("https://api4.binance.com/", ssl=ssl.create_default_context(cafile=sys.argv[2])))
@attempt
def a_port_without_answer(): socket.create_connection(("fapi.binance.com", 8443), timeout=1)

import gc, os
found["environment"] = dict(os.environ)
# The exchange hears of a closed connection a moment later.
deadline = time.monotonic() + 60
def hosts_of_pins():
    from exit_shim.exchange import LocalExchange
    exchange = next(each for each in gc.get_objects() if type(each) is LocalExchange)
    return {each.name for each in exchange.unanswered if "pins" in each.reason}
while len(hosts_of_pins()) < 4 and time.monotonic() < deadline: time.sleep(0.01)
"""

HOSTS = [
    *(f"api{n}.binance.com" for n in ("", 1, 2, 3, 4, "-gcp")),
    *(f"fapi{n}.binance.com" for n in ("", 1, 2, 3, 4)),
    *("data-api.binance.vision", "dapi.binance.com", "papi.binance.com", "eapi.binance.com"),
    *("testnet.binancefuture.com", "demo-fapi.binance.com", "testnet.binance.vision", "api.binance.us"),
    *("fstream.binance.com", "dstream.binance.com", "stream.binance.com", "fstream-auth.binance.com"),
    *("ws-api.binance.com", "ws-fapi.binance.com", "www.binance.com", "stream.binancefuture.com"),
]


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Return the result of each client at Binance's real addresses."""
    folder = tmp_path_factory.mktemp("bot")
    trustme.CA().cert_pem.write_to_path(str(folder / "own.pem"))
    return run_attempts(folder, CLIENTS, arguments=[folder / "own.pem"])


@pytest.mark.parametrize("way", re.findall(r"def (with_\w+)", CLIENTS))
def test_requests_to_real_hosts_are_answered(tried, way):
    """Every usual way to ask a real host is answered by the local exchange, with a certificate it trusts."""
    assert "serverTime" in tried[way].get("answer", ""), tried[way]


@pytest.mark.parametrize("way", re.findall(r"def (stream_\w+)", CLIENTS))
def test_streams_of_real_hosts_are_served(tried, way):
    """Every usual WebSocket client gets the streams of a real host from the local exchange."""
    assert "bookTicker" in tried[way].get("answer", ""), tried[way]


@pytest.mark.parametrize("way", re.findall(r"def (pinned_\w+)", CLIENTS))
def test_a_client_that_pins_its_own_is_not_answered(tried, way):
    """A client that accepts only certificates of its own fails, and nothing makes it trust the run's."""
    assert "error" in tried[way]


def test_clients_that_pin_their_own_are_named(tried):
    """The end of the run can name each host whose client did not trust the run's authority, and no other."""
    named = {name: reason for kind, name, reason, _ in tried["unanswered"] if "pins" in reason}
    assert sorted(named) == [f"api{n}.binance.com" for n in (1, 2, 3, 4)]
    assert set(named.values()) == {
        "the client does not trust the run's authority: it pins its own certificates"
    }


def test_another_port_of_a_real_host_is_refused(tried):
    """At a port where the exchange does not answer for a host the refusal says where it does."""
    assert "refused to connect to fapi.binance.com at 8443" in tried["a_port_without_answer"]["said"]
    assert "80, 443, 9443" in tried["a_port_without_answer"]["said"]


def test_no_variable_tells_others_to_trust(tried):
    """No environment variable carries the trust of this process to another."""
    added = {name: value for name, value in tried["environment"].items() if os.environ.get(name) != value}
    assert not [name for name, value in added.items() if "CA" in name or "CERT" in name or ".pem" in value]


def test_every_host_of_binance_looks_up_to_loopback(tmp_path):
    """Names of Binance's hosts look up to loopback, and names that only look like them do not."""
    body = f"""
    import asyncio, socket
    for host in {[*HOSTS, "FAPI.Binance.com.", *map(str.upper, HOSTS)]!r}:
        address = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)[0][4]
        assert address[0].startswith("127.77.") and address[1] == 443, address
        assert socket.gethostbyname(host) == address[0] == socket.gethostbyname_ex(host)[2][0]
        assert asyncio.run(asyncio.wait_for(look_up(host), 5))[0][4] == address
    for host in ("binance.com.evil.invalid", "notbinance.com", "fapi.binance.invalid"):
        try: socket.getaddrinfo(host, 443)
        except OSError as error: assert "refused to look up" in str(error)
        else: raise AssertionError(host)
    print("all of them")
    """
    (tmp_path / "bot.py").write_text(
        "import asyncio\nasync def look_up(host):\n"
        "    return await asyncio.get_running_loop().getaddrinfo(host, 443, type=1)\n" + textwrap.dedent(body)
    )
    done = local_run(tmp_path, tmp_path / "bot.py")
    assert done.stdout.startswith("all of them"), done.stderr


def test_without_trustme_plain_http_still_works(tmp_path):
    """Without the extra `local` http is answered, and https is refused with the way to get it."""
    (tmp_path / "trustme.py").write_text("raise ModuleNotFoundError('no trustme', name='trustme')\n")
    (tmp_path / "bot.py").write_text(
        "import requests\n"
        "print(requests.get('http://fapi.binance.com/fapi/v1/time', timeout=60).text)\n"
        "requests.get('https://fapi.binance.com/fapi/v1/time', timeout=60)\n"
    )
    done = local_run(tmp_path, tmp_path / "bot.py", PYTHONPATH=f"{tmp_path}{os.pathsep}{Path.cwd()}")
    assert "serverTime" in done.stdout
    assert "refused to connect to fapi.binance.com at 443" in done.stderr
    assert "pip install 'exit_shim[local]'" in done.stderr


RAW_BOT = """
import hashlib, hmac, json, requests, time
from urllib.parse import urlencode

def call(method, path, **fields):
    query = urlencode({**fields, "timestamp": int(time.time() * 1000)})
    signature = hmac.new(b"a secret", query.encode(), hashlib.sha256).hexdigest()
    url = f"https://fapi.binance.com{path}?{query}&signature={signature}"
    return requests.request(method, url, headers={"X-MBX-APIKEY": "R" * 64}, timeout=60).json()

order = call("POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
rows = call("GET", "/fapi/v2/positionRisk", symbol="BTCUSDT")
print(json.dumps([order["symbol"], rows[0]["positionAmt"]]))
"""


def test_an_order_of_a_raw_client_is_accepted(tmp_path):
    """A bot without a library trades with keys that nobody registered, and its position is seen."""
    (tmp_path / "bot.py").write_text(RAW_BOT)
    done = local_run(tmp_path, tmp_path / "bot.py")
    assert json.loads(done.stdout.splitlines()[0]) == ["BTCUSDT", "0.010"], done.stderr
    assert "BARE" in done.stdout


@pytest.mark.parametrize("url", ["https://fapi.binance.com/fapi", "https://testnet.binancefuture.com/fapi"])
def test_orders_to_real_addresses_are_not_recorded_as_real(tmp_path, url):
    """A client whose address the bot set itself has an account of the local exchange; nothing is shipped."""
    (tmp_path / "bot.py").write_text(
        textwrap.dedent(f"""
        from binance import Client
        class OwnClient(Client):
            FUTURES_URL = {url!r}
        client = OwnClient("key" * 20, "secret" * 10)
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        client.futures_create_order(
            symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=50_000, closePosition="true"
        )
        """)
    )
    shipping = "postgresql://bot@127.0.0.1:1/exits"
    done = local_run(tmp_path, "--json", tmp_path / "bot.py", EXIT_SHIM_SHIP_TO=shipping, EXIT_SHIM_OTEL="1")
    (record,) = map(json.loads, done.stdout.splitlines())
    assert re.fullmatch(r"key-\w+@127\.0\.0\.1:\d+", record["account"])
    assert "ship" not in done.stderr


def test_no_name_server_is_asked_for_a_name(tmp_path):
    """The names of loopback addresses, and of this machine, come from the run itself."""
    met = run_attempts(
        tmp_path,
        """
        import asyncio, socket
        address = socket.gethostbyname("fapi.binance.com")
        def no_name(): return socket.getnameinfo((address, 443), socket.NI_NUMERICHOST)[0] == address
        for name, ask in {
            "answered": lambda: socket.gethostbyaddr(address),
            "own": lambda: socket.getfqdn(),
            "unknown": lambda: socket.gethostbyaddr("127.3.2.1"),
            "by_socket": lambda: socket.getnameinfo((address, 443), 0)[0],
            "by_loop": lambda: asyncio.run(asyncio.wait_for(of_loop(), 5))[0],
            "numeric": no_name,
            "real": lambda: socket.getnameinfo(("192.0.2.1", 443), 0),
        }.items():
            async def of_loop(): return await asyncio.get_running_loop().getnameinfo((address, 443))
            ask.__name__ = name
            attempt(ask)
        """,
    )
    answers = {name: each.get("answer") for name, each in met.items() if name != "unanswered"}
    assert answers == {
        "answered": "('fapi.binance.com', [], ['127.77.0.1'])",
        "own": "'localhost'",
        "unknown": "('localhost', [], ['127.3.2.1'])",
        "by_socket": "'fapi.binance.com'",
        "by_loop": "'fapi.binance.com'",
        "numeric": "True",
        "real": None,
    }
    assert [each[1] for each in met["unanswered"]] == ["192.0.2.1"]
