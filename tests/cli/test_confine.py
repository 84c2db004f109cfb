"""A `--local` run cannot leave the machine: one bot that tries every way out it knows, and what it meets.

192.0.2.1 is an address for documentation (RFC 5737): nobody is there, and nothing must be sent to it.
"""

import errno
import json
import os
import re
import socket
import tempfile
import textwrap

import pytest
from local_runs import local_run

pytestmark = pytest.mark.xdist_group("confine")  # whose workers share what a fixture has run

ATTEMPTS = """
import asyncio, contextlib, http.client, importlib, json, multiprocessing, os, socket, ssl, subprocess, sys
import threading, time, urllib.request
import aiohttp, aiohttp.abc, requests, websocket
from binance import AsyncClient, Client

TEST_NET, HOST = "192.0.2.1", "fapi.binance.invalid"
other_port = int(sys.argv[1])
found = {}

def attempt(function):
    start = time.perf_counter()
    try:
        answer = function()
        result = {"answer": repr(answer)[:200]}
    except BaseException as error:
        result = {"error": type(error).__name__, "said": str(error)}
    found[function.__name__] = {**result, "seconds": time.perf_counter() - start}

def tcp(*args):
    made = socket.socket(*args)
    made.settimeout(0.2)
    return contextlib.closing(made)

@attempt
def raw_socket():
    with tcp() as s: s.connect((TEST_NET, 443))
@attempt
def raw_socket_bytes():
    with tcp() as s: s.connect((TEST_NET.encode(), 443))
@attempt
def raw_socket_bytearray():
    with tcp() as s: s.connect((bytearray(TEST_NET.encode()), 443))
@attempt
def raw_socket_connect_ex():
    with tcp() as s: s.connect_ex((TEST_NET, 443))
@attempt
def raw_socket_by_name():
    with tcp() as s: s.connect((HOST, 443))
@attempt
def ipv6():
    with tcp(socket.AF_INET6) as s: s.connect(("2001:db8::1", 443))
@attempt
def mapped_ipv6():
    with tcp(socket.AF_INET6) as s: s.connect(("::ffff:192.0.2.1", 443))
@attempt
def any_address():
    with tcp() as s: s.connect(("0.0.0.0", other_port))
@attempt
def loopback_on_another_port():
    with tcp() as s: s.connect(("127.0.0.1", other_port))
@attempt
def localhost_on_another_port():
    with tcp() as s: s.connect(("localhost", other_port))
@attempt
def udp():
    with tcp(socket.AF_INET, socket.SOCK_DGRAM) as s: return s.sendto(b"x", (TEST_NET, 53))
@attempt
def udp_bytes():
    with tcp(socket.AF_INET, socket.SOCK_DGRAM) as s: return s.sendto(b"x", (TEST_NET.encode(), 53))
@attempt
def udp_sendmsg():
    with tcp(socket.AF_INET, socket.SOCK_DGRAM) as s: return s.sendmsg([b"x"], [], 0, (TEST_NET, 53))
@attempt
def udp_connected():
    with tcp(socket.AF_INET, socket.SOCK_DGRAM) as s: s.connect((TEST_NET, 53)); return s.send(b"x")
@attempt
def udp_connected_by_name():
    with tcp(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return s.connect_ex((HOST, 53)) or os.write(s.fileno(), b"x")
@attempt
def udp_connected_from_a_port_of_its_own():
    with tcp(socket.AF_INET, socket.SOCK_DGRAM) as s: s.bind(("127.0.0.1", 0)); s.connect((TEST_NET, 53))
@attempt
def packet_socket():
    with tcp(getattr(socket, "AF_PACKET", 17), socket.SOCK_RAW): pass
@attempt
def vsock():
    with tcp(getattr(socket, "AF_VSOCK", 40), socket.SOCK_STREAM): pass
@attempt
def unix_socket():
    with tcp(socket.AF_UNIX) as s: s.connect("/var/run/docker.sock")
@attempt
def unix_socket_abstract():
    with tcp(socket.AF_UNIX) as s: s.connect(b"\\0proxy")
@attempt
def udp_by_name():
    with tcp(socket.AF_INET, socket.SOCK_DGRAM) as s: return s.sendto(b"x", 0, (HOST, 53))
@attempt
def look_up():
    return socket.getaddrinfo(HOST, 443)
@attempt
def look_up_bytes():
    return socket.getaddrinfo(HOST.encode(), 443)
@attempt
def look_up_old():
    return socket.gethostbyname(HOST)
@attempt
def look_up_reverse():
    return socket.getnameinfo((TEST_NET, 53), 0)
@attempt
def with_requests():
    requests.get(f"https://{HOST}/fapi/v1/ping")
@attempt
def with_urllib():
    urllib.request.urlopen(f"https://{HOST}/fapi/v1/ping")
async def get(url):
    async with aiohttp.ClientSession() as session: await session.get(url)
@attempt
def with_aiohttp():
    asyncio.run(get(f"https://{HOST}/fapi/v1/ping"))
@attempt
def with_aiohttp_by_address():
    asyncio.run(get(f"https://{TEST_NET}/"))
@attempt
def in_a_thread():
    met = []
    def connect():
        try: raw()
        except OSError as error: met.append(error)
    def raw():
        with tcp() as s: s.connect((TEST_NET, 443))
    thread = threading.Thread(target=connect)
    thread.start(); thread.join()
    raise met[0]
@attempt
def child_process():
    subprocess.run([sys.executable, "-c", "pass"])
@attempt
def shell():
    os.system("true")
@attempt
def popen():
    os.popen("true").read()
@attempt
def posix_spawn():
    os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], {})
@attempt
def spawn_start_method():
    multiprocessing.get_context("spawn").Process(target=print).start()
@attempt
def forkserver_start_method():
    multiprocessing.get_context("forkserver").Process(target=print).start()
def forked(action):
    receive, send = os.pipe()
    if not (child := os.fork()):
        try: action(); said = b"it worked"
        except BaseException as error: said = f"{type(error).__name__}: {error}".encode()
        os.write(send, said); os._exit(0)
    os.close(send); os.waitpid(child, 0)
    with os.fdopen(receive, "rb") as pipe: return pipe.read().decode()
def raw():
    with tcp() as s: s.connect((TEST_NET, 443))
@attempt
def in_a_forked_child():
    raise OSError(forked(raw))
@attempt
def exec_in_a_forked_child():
    raise OSError(forked(lambda: os.execv(sys.executable, [sys.executable, "-c", "pass"])))
@attempt
def sub_interpreter():
    try: import _interpreters
    except ModuleNotFoundError: import _xxsubinterpreters as _interpreters
    _interpreters.create()
@attempt
def import_psycopg():
    import psycopg2
@attempt
def import_a_part_of_a_package():
    import grpc._cython.cygrpc

def client(**settings):
    made = Client(**settings)
    made.futures_ping()
    return made.futures_account_balance()[0]["asset"]
@attempt
def real_futures_url():
    made = Client("key", "secret")
    made.FUTURES_URL = "https://fapi.binance.invalid/fapi"
    made.futures_ping()
@attempt
def real_url_of_a_subclass():
    class Own(Client):
        API_URL = "https://api{}.binance.{}.invalid/api"
    Own("key", "secret")
# Ways that a bot with Binance's addresses may take, in place of look-ups.
class OwnResolver(aiohttp.abc.AbstractResolver):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [dict(hostname=host, host=TEST_NET, port=port, family=family, proto=0, flags=0)]
    async def close(self): pass
@attempt
def with_aiohttp_and_its_own_resolver():
    async def get():
        connector = aiohttp.TCPConnector(resolver=OwnResolver())
        async with aiohttp.ClientSession(connector=connector) as session:
            await session.get("https://fapi.binance.com/fapi/v1/ping")
    asyncio.run(get())
@attempt
def http_client_with_a_socket_of_its_own():
    connection = http.client.HTTPSConnection("fapi.binance.com")
    with tcp() as connection.sock:
        connection.sock.connect((TEST_NET, 443))
        connection.request("GET", "/")
@attempt
def tls_on_a_socket_of_its_own():
    with tcp() as s, ssl.create_default_context().wrap_socket(s, server_hostname="fapi.binance.com") as t:
        t.connect((TEST_NET, 443))
@attempt
def created_connection(): socket.create_connection((TEST_NET, 443), timeout=0.2)
@attempt
def sock_connect_of_a_loop():
    async def connect():
        with tcp() as s:
            s.setblocking(False)
            await asyncio.get_running_loop().sock_connect(s, (TEST_NET, 443))
    asyncio.run(connect())
@attempt
def asyncio_datagrams():
    async def send():
        met = asyncio.get_running_loop().create_future()
        class Protocol(asyncio.DatagramProtocol):
            def error_received(self, error): met.set_exception(error)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            Protocol, remote_addr=(TEST_NET, 53))
        with contextlib.closing(transport): transport.sendto(b"x"); return await asyncio.wait_for(met, 1)
    return asyncio.run(send())
@attempt
def stream_by_a_proxy():
    websocket.create_connection("wss://fstream.binance.com/ws", http_proxy_host=TEST_NET, http_proxy_port=1,
                                proxy_type="http", http_no_proxy=["none.invalid"])
@attempt
def stream_by_a_proxy_on_loopback():
    websocket.create_connection("wss://fstream.binance.com/ws", http_proxy_host="127.0.0.1",
                                http_proxy_port=other_port, proxy_type="http", http_no_proxy=["none.invalid"])
@attempt
def request_by_a_proxy_of_the_environment():
    os.environ["HTTPS_PROXY"] = f"http://{TEST_NET}:3128"
    del os.environ["NO_PROXY"], os.environ["no_proxy"]
    try: requests.get("https://fapi.binance.com/fapi/v1/ping")
    finally:
        del os.environ["HTTPS_PROXY"]
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
@attempt
def the_c_module():
    s = importlib.import_module("_socket").socket(socket.AF_INET, socket.SOCK_STREAM)
    try: s.connect((TEST_NET, 443))
    finally: s.close()
@attempt
def the_c_module_by_its_answered_address():
    s = importlib.import_module("_socket").socket(socket.AF_INET, socket.SOCK_STREAM)
    try: s.connect((socket.gethostbyname("fapi.binance.com"), 443))
    finally: s.close()
@attempt
def the_former_connect_put_back():
    watched = socket.socket.connect
    socket.socket.connect = importlib.import_module("_socket").socket.connect
    try:
        with tcp() as s: s.connect((TEST_NET, 443))
    finally: socket.socket.connect = watched
@attempt
def a_look_up_of_its_own():
    watched = socket.getaddrinfo
    socket.getaddrinfo = lambda host, port, *_, **__: [(2, 1, 6, "", (TEST_NET, port))]
    try: requests.get("https://fapi.binance.com/fapi/v1/ping")
    finally: socket.getaddrinfo = watched
@attempt
def a_subclass_of_a_socket():
    class Own(socket.socket): pass
    with Own() as s: s.connect_ex((TEST_NET, 443))
@attempt
def an_address_that_lies():
    class Lie(tuple):
        def __getitem__(self, place): return ("127.0.0.1", other_port)[place]
    with tcp() as s: s.connect(Lie((TEST_NET, 443)))
@attempt
def datagrams_to_an_answered_host():
    with tcp(socket.AF_INET, socket.SOCK_DGRAM) as s: s.sendto(b"x", ("fapi.binance.com", 443))
@attempt
def explicit_proxies():
    client(requests_params={"proxies": {"http": f"http://{TEST_NET}:8080", "https": f"http://{TEST_NET}:1"}})
@attempt
def explicit_proxy_on_loopback():
    client(requests_params={"proxies": {"http": f"http://127.0.0.1:{other_port}"}})
async def async_client(url=None, **settings):
    made = await AsyncClient.create(**settings)
    try:
        if url: made.FUTURES_URL = url
        return (await made.futures_account_balance())[0]["asset"]
    finally: await made.close_connection()
@attempt
def async_real_futures_url():
    asyncio.run(async_client("https://fapi.binance.invalid/fapi"))
@attempt
def async_explicit_proxy():
    asyncio.run(async_client(https_proxy=f"http://{TEST_NET}:8080"))

@attempt
def works_without_keys(): return client()
@attempt
def works_with_keys(): return client(api_key="any", api_secret="other")
@attempt
def works_on_testnet(): return client(testnet=True)
@attempt
def works_on_demo(): return client(demo=True)
@attempt
def works_on_tld_us(): return client(tld="us")
@attempt
def works_with_a_private_key(): return client(api_key="k", private_key="not even one", private_key_pass="x")
@attempt
def works_async(): return asyncio.run(async_client())
@attempt
def works_with_a_proxy_variable_of_the_bots_own():
    os.environ["HTTP_PROXY"] = os.environ["HTTPS_PROXY"] = f"http://127.0.0.1:{other_port}"
    return client()
@attempt
def works_own_address_by_udp():
    with tcp(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((TEST_NET, 80)); assert s.getsockname()[0] == "127.0.0.1"; return "USDT"
@attempt
def works_socket_pair():
    a, b = socket.socketpair()
    with a, b: a.send(b"USDT"); return b.recv(4)
def double(n): return f"USDT{n}"
@attempt
def works_fork_pool():
    with multiprocessing.get_context("fork").Pool(1) as pool: return pool.map(double, [1])
@attempt
def works_unix_socket_among_the_temporary():
    path = os.path.join(sys.argv[3], "s")
    with tcp(socket.AF_UNIX) as server, tcp(socket.AF_UNIX) as s:
        server.bind(path); server.listen(1); s.connect(path); return "USDT"

proxies = [name for name in os.environ if name.upper() == "ALL_PROXY"]
json.dump({"found": found, "proxies": proxies}, open(sys.argv[2], "w"))
"""

REFUSED = [
    *("raw_socket", "raw_socket_bytes", "raw_socket_bytearray", "raw_socket_connect_ex"),
    *("raw_socket_by_name", "ipv6", "mapped_ipv6", "any_address", "loopback_on_another_port"),
    *(
        "localhost_on_another_port",
        "udp",
        "udp_bytes",
        "udp_sendmsg",
        "udp_by_name",
        "udp_connected_from_a_port_of_its_own",
        "packet_socket",
        "vsock",
    ),
    *("unix_socket", "unix_socket_abstract", "look_up", "look_up_bytes", "look_up_old", "look_up_reverse"),
    *("with_requests", "with_urllib", "with_aiohttp", "with_aiohttp_by_address", "in_a_thread"),
    *("child_process", "shell", "popen", "posix_spawn", "in_a_forked_child", "exec_in_a_forked_child"),
    *("real_futures_url", "real_url_of_a_subclass", "explicit_proxies", "explicit_proxy_on_loopback"),
    *("async_real_futures_url", "async_explicit_proxy"),
    *("with_aiohttp_and_its_own_resolver", "http_client_with_a_socket_of_its_own"),
    *("tls_on_a_socket_of_its_own", "created_connection", "sock_connect_of_a_loop", "asyncio_datagrams"),
    *("stream_by_a_proxy", "stream_by_a_proxy_on_loopback", "request_by_a_proxy_of_the_environment"),
    *("the_c_module", "the_c_module_by_its_answered_address", "the_former_connect_put_back"),
    *(
        "a_look_up_of_its_own",
        "a_subclass_of_a_socket",
        "an_address_that_lies",
        "datagrams_to_an_answered_host",
    ),
]
WITHOUT_A_PEER = ["udp_connected", "udp_connected_by_name"]
REFUSED_SPAWNS = ["spawn_start_method", "forkserver_start_method"]
REFUSED_IMPORTS = ["sub_interpreter", "import_psycopg", "import_a_part_of_a_package"]
WORKS = re.findall(r"def (works_\w+)", ATTEMPTS)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """What each attempt met, and how many connections reached a loopback port that is not the exchange's."""
    folder = tmp_path_factory.mktemp("bot")
    (folder / "bot.py").write_text(ATTEMPTS)
    with socket.create_server(("127.0.0.1", 0)) as other, tempfile.TemporaryDirectory() as temporary:
        other.settimeout(0)
        proxy = f"http://127.0.0.1:{other.getsockname()[1]}"
        done = local_run(
            folder,
            folder / "bot.py",
            other.getsockname()[1],
            folder / "found.json",
            temporary,
            HTTPS_PROXY=proxy,
            https_proxy=proxy,
            HTTP_PROXY=proxy,
            http_proxy=proxy,
            ALL_PROXY=proxy,
            all_proxy=proxy,
        )
        assert (folder / "found.json").exists(), done.stderr
        with pytest.raises(BlockingIOError):
            other.accept()
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("way", REFUSED)
def test_no_way_out(tried, way):
    """It is refused at once, before anything is sent, with an error that says what, and what is allowed."""
    met = tried["found"][way]
    assert "answer" not in met
    assert "refused" in met["said"]
    assert "this run may connect to 127.0.0.1 at" in met["said"]
    assert met["seconds"] < 1


@pytest.mark.parametrize("way", WITHOUT_A_PEER)
def test_nothing_is_sent_on_a_datagram_socket_without_a_peer(tried, way):
    """A datagram socket that connected to a real host has no peer, so the system refuses to send on it."""
    assert tried["found"][way]["said"].startswith(f"[Errno {errno.EDESTADDRREQ}]")


@pytest.mark.parametrize("way", REFUSED_SPAWNS)
def test_no_process_that_cannot_be_watched(tried, way):
    """Processes that multiprocessing starts afresh are refused, with the way to those it forks."""
    assert "refused to start a child process" in tried["found"][way]["said"]
    assert "fork method" in tried["found"][way]["said"]


@pytest.mark.parametrize("way", REFUSED_IMPORTS)
def test_no_package_that_connects_past_python(tried, way):
    """Packages with sockets, or interpreters, of their own are refused at import, installed or not."""
    assert tried["found"][way]["error"] == "ImportError"
    assert "can connect past Python" in tried["found"][way]["said"]


@pytest.mark.parametrize("way", WORKS)
def test_what_a_bot_needs_works(tried, way):
    """Clients without keys, for testnet, demo or another country, and what stays inside, work."""
    assert "USDT" in tried["found"][way]["answer"]


def test_every_attempt_is_looked_at(tried):
    """Each attempt of the bot is in one of the lists above."""
    assert sorted(tried["found"]) == sorted(
        [*REFUSED, *WITHOUT_A_PEER, *REFUSED_SPAWNS, *REFUSED_IMPORTS, *WORKS]
    )
    assert tried["proxies"] == []


def test_a_port_that_is_allowed(tmp_path):
    """--allow-port opens one loopback port, such as the bot's own database, and no more."""
    (tmp_path / "bot.py").write_text(
        textwrap.dedent("""
        import socket, sys
        socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
        print("connected")
        socket.create_connection(("127.0.0.1", int(sys.argv[2])))
        """)
    )
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [str(server.getsockname()[1]) for server in (one, two)]
        done = local_run(tmp_path, "--allow-port", ports[0], tmp_path / "bot.py", *ports)
    assert done.stdout.startswith("connected")
    assert f"refused to connect to 127.0.0.1 at {ports[1]}" in done.stderr
    assert done.returncode == 1


def test_a_resolver_of_its_own_is_not_used(tmp_path):
    """With aiodns installed aiohttp would ask name servers past Python; it is brought back to `socket`."""
    (tmp_path / "pycares.py").write_text("class Channel: pass\n")
    (tmp_path / "aiodns.py").write_text(
        "import pycares\nclass DNSResolver:\n"
        "    def __init__(self, **_): self.channel = pycares.Channel()\n"
        "    async def getaddrinfo(self, *_, **__): raise AssertionError('asked a name server')\n"
        "    gethostbyname = getaddrinfo\n"
    )
    (tmp_path / "bot.py").write_text(
        textwrap.dedent("""
        import aiodns, aiohttp, asyncio
        async def get():
            async with aiohttp.ClientSession() as session: await session.get("https://fapi.binance.invalid/")
        try: aiodns.DNSResolver()
        except OSError as error: print("ONE", error)
        try: asyncio.run(get())
        except OSError as error: print("TWO", error)
        """)
    )
    done = local_run(tmp_path, tmp_path / "bot.py", PYTHONPATH=f"{tmp_path}{os.pathsep}{os.getcwd()}")  # noqa: PTH109
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines()[:2])
    assert "refused to look up names past Python" in lines["ONE"]
    assert "refused to look up 'fapi.binance.invalid'" in lines["TWO"]


def test_threads_and_atexit_functions_stay_confined(tmp_path):
    """After the last line of the bot its threads, pools and atexit functions cannot leave either."""
    (tmp_path / "bot.py").write_text(
        textwrap.dedent("""
        import atexit, socket, threading, time
        def leave(name):
            try: socket.create_connection(("192.0.2.1", 443), timeout=0.2)
            except OSError as error: print(name, error)
        atexit.register(leave, "ATEXIT")
        def later(): time.sleep(0.1); leave("THREAD")
        threading.Thread(target=later).start()
        """)
    )
    done = local_run(tmp_path, tmp_path / "bot.py")
    for line, name in zip(done.stdout.splitlines(), ("THREAD", "ATEXIT"), strict=False):
        assert line.startswith(f"{name} [Errno")
        assert "refused to look up '192.0.2.1'" in line
