"""The steps of a client's life on a local exchange, each printed as `passed NAME` or `FAILED NAME: why`.

A life is a program for an environment of its own: nothing but the standard library and its client is there.
Its arguments are the exchange's address, http://127.0.0.1:PORT, the port with TLS, and the authority's file.
"""

import asyncio
import contextlib
import json
import re
import socket
import sys
import time
import traceback
import urllib.parse
import urllib.request

KEY, SECRET = "local-key", "local-secret"
PATIENCE = 20
"""Seconds after which a step that waits for the exchange has failed."""
LOOPBACK = re.compile(r"127\..*|::1|0\.0\.0\.0|localhost|.*\.localhost")


def _refuse_other_hosts(event, arguments):
    """Let this process reach loopback alone, whatever addresses its client knows."""
    host = None
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    host = host.decode() if isinstance(host, bytes) else host
    if host and not LOOPBACK.fullmatch(host):
        raise ConnectionRefusedError(f"a life tried to reach {host!r}")


sys.addaudithook(_refuse_other_hosts)
_resolve = socket.getaddrinfo


def _resolve_localhost(host, *rest, **options):
    # Names under .localhost are loopback (RFC 6761), but the resolver of some systems does not know them.
    return _resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **options)


socket.getaddrinfo = _resolve_localhost


class Life:
    """The steps of one client, and how to act on the exchange meanwhile."""

    def __init__(self):
        self.url, self.tls_port, self.authority = sys.argv[1:4]
        self.host = self.url.partition("://")[2]
        self._failed = 0

    def local(self, address, *, tls=False):
        """Return where the exchange has what Binance has at an address: over HTTP, or by name with TLS."""
        scheme, _, rest = address.partition("://")
        host, slash, path = rest.partition("/")
        if tls:
            return f"{scheme}://{host.partition('.')[0]}.binance.localhost:{self.tls_port}{slash}{path}"
        return f"{scheme.removesuffix('s')}://{self.host}{slash}{path}"

    @contextlib.contextmanager
    def step(self, name):
        """Run the block as a step; the life goes on if it fails."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the next steps are to be seen too
            self._failed += 1
            frames = traceback.extract_tb(error.__traceback__)
            line = next((frame.line for frame in frames if frame.filename == sys.argv[0]), "")
            text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            print(f"FAILED {name}: {text} at `{line}`", flush=True)
        else:
            print(f"passed {name}", flush=True)

    @contextlib.contextmanager
    def refused(self, code, kind):
        """Run the block as a step that must raise `kind` with Binance's `code`."""
        with self.step(f"refused with {code}"):
            refusal = None
            try:
                yield
            except kind as error:
                refusal = error
            assert refusal, f"nothing was raised, expected {kind}"
            assert str(code) in f"{refusal} {vars(refusal)}", refusal

    def control(self, path, **parameters):
        """Send a command to the exchange itself, as `exit-shim exchange` does."""
        self._post(path, urllib.parse.urlencode(parameters), "application/x-www-form-urlencoded")

    def inject(self, **fault):
        """Let something go wrong once; see `FaultPlan.schedule`."""
        self._post("faults", json.dumps({**fault, "times": 1}), "application/json")

    def _post(self, path, text, kind):
        address = f"{self.url}/exchange/{path}"
        request = urllib.request.Request(address, text.encode(), {"Content-Type": kind})
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def set_price(self, price, symbol="BTCUSDT"):
        """Set all prices of a symbol."""
        self.control("price", symbol=symbol, price=str(price))

    def move_until(self, heard):
        """Move the price to and fro until `heard()` holds."""
        for number in range(20):
            self.set_price(60_000 + number % 3)
            time.sleep(0.25)
            if heard():
                return
        raise TimeoutError("silent")

    async def move_until_done(self, awaitable):
        """Move the price to and fro until something is there, and return it."""
        task = asyncio.ensure_future(awaitable)
        for number in range(20):
            self.set_price(60_000 + number % 3)
            await asyncio.wait([task], timeout=0.25)
            if task.done():
                return task.result()
        task.cancel()
        raise TimeoutError("silent")

    def end(self):
        """Leave the program, with 1 if a step has failed."""
        sys.exit(1 if self._failed else 0)


async def within(awaitable):
    """Wait for something with patience."""
    return await asyncio.wait_for(awaitable, PATIENCE)
