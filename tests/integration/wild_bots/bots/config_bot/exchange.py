import hashlib
import hmac
import json
import logging
import time
import urllib.error
import urllib.parse
import urllib.request

log = logging.getLogger(__name__)


class BinanceError(Exception):
    def __init__(self, status, body):
        self.status = status
        try:
            d = json.loads(body)
            self.code, self.msg = d["code"], d["msg"]
        except Exception:
            self.code, self.msg = None, body
        super().__init__(f"{status} {self.code}: {self.msg}")


class Exchange:
    """tiny client without dependencies"""

    def __init__(self, cfg):
        self.key = cfg["api_key"]
        self.secret = cfg["api_secret"].encode()
        self.url = "https://testnet.binancefuture.com" if cfg["testnet"] else "https://fapi.binance.com"
        self.retries = cfg["max_retries"]

    def _send(self, method, path, params, signed):
        if signed:
            params = {**params, "timestamp": int(time.time() * 1000), "recvWindow": 10000}
        q = urllib.parse.urlencode(params)
        if signed:
            q += "&signature=" + hmac.new(self.secret, q.encode(), hashlib.sha256).hexdigest()
        req = urllib.request.Request(f"{self.url}{path}?{q}", method=method)
        req.add_header("X-MBX-APIKEY", self.key)
        req.add_header("User-Agent", "Mozilla/5.0")
        try:
            with urllib.request.urlopen(req, timeout=8) as r:
                return json.loads(r.read())
        except urllib.error.HTTPError as e:
            raise BinanceError(e.code, e.read().decode()) from None

    def call(self, method, path, signed=True, **params):
        for n in range(self.retries):
            try:
                return self._send(method, path, params, signed)
            except BinanceError as e:
                # business errors are not retried
                if e.code not in (-1001, -1007, -1021, None):
                    raise
                log.warning("try %d: %s", n + 1, e)
            except OSError as e:
                log.warning("network, try %d: %s", n + 1, e)
            time.sleep(0.5 * 2**n)
        raise RuntimeError("binance not reachable")
