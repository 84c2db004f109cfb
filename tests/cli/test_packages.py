"""Packages, children and event loops of a bot in a `--local` run."""

import contextlib
import re
import socket
import ssl
import threading

import trustme
from local_runs import local_run

from exit_shim.testing.confinement import proxies
from exit_shim.testing.confinement.packages import LOOPS, OWN_SOCKETS


def run_lines(folder, source, *options):
    """Run a bot of these lines."""
    (folder / "bot.py").write_text(source)
    return local_run(folder, *options, folder / "bot.py")


def test_a_package_with_sockets_of_its_own_is_refused_with_its_flag(tmp_path):
    """The refusal of a package says which option allows it."""
    done = run_lines(tmp_path, "import psycopg\n")
    assert "ImportError: psycopg can connect past Python" in done.stderr
    assert "--allow-package psycopg allows it unwatched" in done.stderr


def test_an_allowed_package_is_imported_and_said_to_be_unwatched(tmp_path):
    """--allow-package lets a package in with those it needs, and says at the start that nobody watches it."""
    done = run_lines(
        tmp_path, "import psycopg, psycopg_binary\nprint(psycopg.__name__)\n", "--allow-package", "psycopg"
    )
    assert done.stdout.startswith("psycopg\n"), done.stderr
    assert "psycopg: what it connects to is not watched" in done.stderr


def test_an_allowed_package_opens_no_other(tmp_path):
    """--allow-package for one package leaves every other one, and every host, refused."""
    source = """
import socket
try: import zmq
except ImportError as error: print(error)
socket.create_connection(("192.0.2.1", 1))
"""
    done = run_lines(tmp_path, source, "--allow-package", "psycopg")
    assert "--allow-package zmq" in done.stdout
    assert "refused to look up '192.0.2.1'" in done.stderr


def test_a_package_that_is_not_refused_cannot_be_allowed(tmp_path):
    """A slip in the name of a package ends the command with the nearest name."""
    done = run_lines(tmp_path, "", "--allow-package", "psycopg3")
    assert done.returncode == 2
    assert "--allow-package psycopg3: the package is not refused" in done.stderr
    assert "psycopg" in done.stderr


def test_uvloop_is_replaced_by_the_plain_loop(tmp_path):
    """A bot on uvloop runs on asyncio's own loop, however it chooses its loop, and one line says so."""
    source = """
import asyncio, importlib.util, uvloop
assert importlib.util.find_spec("uvloop").name == "uvloop"
async def main(): return type(asyncio.get_running_loop()).__module__
uvloop.install()
print(asyncio.run(main()))
print(uvloop.run(main()))
loop = uvloop.new_event_loop()
print(loop.run_until_complete(main()))
loop.close()
print(isinstance(loop, uvloop.Loop))
"""
    done = run_lines(tmp_path, source)
    assert done.stdout.splitlines()[:4] == ["asyncio.unix_events"] * 3 + ["True"], done.stderr
    assert done.stderr.count("uvloop is replaced by asyncio's own loop") == 1


def test_clearing_the_screen_needs_no_child(tmp_path):
    """os.system of commands that only change the terminal succeeds, and any other command is refused."""
    source = """
import os
answered = "clear", "cls", "cls||clear", "title Bot", ""
refused = "clear && printf x", "clear; curl x", "clearly", "clear`x`", "clear $(x)", "clear | x"
for command in answered + refused:
    try: print(command, os.system(command))
    except OSError as error: print(command, "refused" in str(error))
"""
    done = run_lines(tmp_path, source)
    lines = done.stdout.splitlines()
    assert lines[:5] == ["clear 0", "cls 0", "cls||clear 0", "title Bot 0", " 0"], done.stderr
    assert all(line.endswith(" True") for line in lines[5:11])


def test_clearing_the_screen_by_subprocess(tmp_path):
    """A bot may also clear the screen by subprocess, and nothing else."""
    source = """
import subprocess
print(subprocess.call("clear", shell=True), subprocess.run(["clear"], check=True).returncode)
subprocess.run(["clear", "$(x)"])
"""
    done = run_lines(tmp_path, source)
    assert done.stdout.startswith("0 0"), done.stderr
    assert "refused to start a child process" in done.stderr


def test_what_libraries_ask_the_system_does_not_end_a_bot(tmp_path):
    """Libraries that ask the system by a child process go on without its answer."""
    source = """
import platform, uuid
print(bool(platform.platform()), platform.processor() is not None, uuid.getnode() > 0)
"""
    done = run_lines(tmp_path, source)
    assert done.stdout.startswith("True True True"), done.stderr


def test_processes_are_forked_by_default(tmp_path):
    """Processes are forked where a bot names no start method, and it may still name one."""
    source = """
import concurrent.futures, multiprocessing
def double(number): return 2 * number
with multiprocessing.Pool(1) as pool: print(pool.map(double, [1]))
with concurrent.futures.ProcessPoolExecutor(1) as pool: print(list(pool.map(double, [2])))
print(multiprocessing.get_start_method())
"""
    done = run_lines(tmp_path, source)
    assert done.stdout.splitlines()[:3] == ["[2]", "[4]", "fork"], done.stderr
    done = run_lines(
        tmp_path, "import multiprocessing\nmultiprocessing.set_start_method('fork')\nprint('set')\n"
    )
    assert done.stdout.startswith("set"), done.stderr


def test_a_database_on_an_allowed_port(tmp_path):
    """A pure-Python client of a database reaches it by name at a loopback port that was allowed."""

    def serve():
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"+PONG\r\n")

    source = """
import socket
with socket.create_connection(("localhost", {port})) as redis:
    redis.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
    print(redis.recv(100))
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = run_lines(tmp_path, source.format(port=port))
        thread = threading.Thread(target=serve)
        thread.start()
        done = run_lines(tmp_path, source.format(port=port), "--allow-port", str(port))
        thread.join(60)
    assert f"--allow-port {port} opens it" in refused.stderr
    assert done.stdout.startswith("b'+PONG"), done.stderr


def test_an_allowed_port_is_no_way_out_by_a_proxy(tmp_path):
    """A proxy at an allowed port gets not a byte, whatever client and kind of proxy."""
    source = """
import asyncio, aiohttp, httpx, os, requests, socket, sys, urllib.request, websocket
del os.environ["NO_PROXY"], os.environ["no_proxy"]
port = int(sys.argv[1])
proxy = f"http://127.0.0.1:{port}"
URL = "https://fapi.binance.com/fapi/v1/time"
def with_requests(): requests.get(URL, proxies={"https": proxy}, timeout=3)
def with_plain_http(): requests.get(URL.replace("https", "http"), proxies={"http": proxy}, timeout=3)
def with_httpx(): httpx.get(URL, proxy=proxy, timeout=3)
def with_urllib():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"https": proxy}))
    opener.open(urllib.request.Request(URL), timeout=3)
def with_aiohttp():
    async def get():
        async with aiohttp.ClientSession() as session: await session.get(URL, proxy=proxy)
    asyncio.run(asyncio.wait_for(get(), 3))
def with_websocket_client():
    websocket.create_connection("wss://fstream.binance.com/ws", http_proxy_host="127.0.0.1",
        http_proxy_port=port, proxy_type="http", http_no_proxy=["none.invalid"], timeout=3)
def with_socks5():
    with socket.create_connection(("127.0.0.1", port), timeout=3) as made: made.sendall(bytes([5, 1, 0]))
def with_socks4():
    with socket.create_connection(("127.0.0.1", port), timeout=3) as made:
        made.sendall(bytes([4, 1, 1, 187, 192, 0, 2, 1, 0]))
for name, way in list(vars().items()):
    if name.startswith("with_"):
        try: print(name, way())
        except Exception as error: print(name, f"{error} {error.__cause__}")
"""
    (tmp_path / "bot.py").write_text(source)
    received = []

    def serve():
        for _ in range(8):
            connection, _ = server.accept()
            with connection:
                received.append(connection.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=serve)
        thread.start()
        done = local_run(tmp_path, "--allow-port", port, tmp_path / "bot.py", port)
        thread.join(60)
    names = re.findall(r"def (with_\w+)", source)
    lines = done.stdout.splitlines()
    met = {name: line for name, line in zip(names, lines, strict=False) if line.startswith(name)}
    # httpx goes on after a failed write, and then finds the connection closed.
    assert "Server disconnected" in met.pop("with_httpx"), lines
    assert len(met) == len(names) - 1
    assert [line for line in met.values() if "refused to use the proxy" not in line] == []
    assert not any(received)


def test_an_allowed_port_is_no_way_out_by_a_proxy_with_tls(tmp_path):
    """A proxy at an allowed port that speaks TLS itself is asked for no host either."""
    source = """
import socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])))) as made:
    made.sendall(b"CONNECT fapi.binance.com:443 HTTP/1.1\\r\\n\\r\\n")
"""
    (tmp_path / "bot.py").write_text(source)
    context, received = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    trustme.CA().issue_cert("localhost").configure_cert(context)

    def serve():
        accepted = server.accept()[0]
        # The client may be gone before the handshake's last words.
        with (
            contextlib.suppress(ConnectionError),
            accepted,
            context.wrap_socket(accepted, server_side=True) as connection,
        ):
            received.append(connection.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        thread = threading.Thread(target=serve)
        thread.start()
        port = str(server.getsockname()[1])
        done = local_run(tmp_path, "--allow-port", port, tmp_path / "bot.py", port)
        thread.join(60)
    assert "refused to use the proxy" in done.stderr
    assert not any(received)


def test_every_package_with_sockets_of_its_own_is_refused(tmp_path):
    """None of them is imported, installed or not; mysql.connector speaks through Python without its own."""
    source = f"""
for name in {sorted(OWN_SOCKETS - set(LOOPS))}:
    try: print("imported", __import__(name))
    except ImportError as error: print("connect past Python" in str(error), name)
"""
    lines = run_lines(tmp_path, source).stdout.splitlines()
    assert "True _mysql_connector" in lines
    assert "True pyodbc" in lines
    assert [line for line in lines if line.startswith(("imported", "False"))] == []


def test_an_iterator_of_buffers_is_sent_whole():
    """What the watch on proxies looks at is sent all the same: asyncio hands sendmsg an iterator."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send = proxies._watched(socket.socket.sendmsg, frozenset({1}), print)
        send(ours, iter([b"first", b"second"]))
        assert theirs.recv(100) == b"firstsecond"
