"""The lines that `exit-shim exchange` prints about how clients connect."""

from pathlib import Path
from typing import Final

from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

PLAIN: Final = """\
listening on {url}, key {key!r}, secret {secret!r}

python-binance   Client.API_URL = "{url}/api"; Client.FUTURES_URL = "{url}/fapi"
                 client = Client({key!r}, {secret!r})
Binance's SDK    ConfigurationRestAPI(api_key={key!r}, api_secret={secret!r}, base_path="{url}")
Its connector    UMFutures(key={key!r}, secret={secret!r}, base_url="{url}")
ccxt             ex = ccxt.binanceusdm({{"apiKey": {key!r}, "secret": {secret!r}}})
                 ex.urls["api"] = {{k: "{url}/" + v.split("/", 3)[3] for k, v in ex.urls["api"].items()
                                   if isinstance(v, str)}}
Node.js          new USDMClient({{ api_key: {key!r}, api_secret: {secret!r}, baseUrl: '{url}' }})
the market       exit-shim exchange set BTCUSDT 59000 --url {url}
"""

TLS: Final = """\
with TLS at {url}; its authority's certificate is in {file}

curl             curl --cacert {file} {name}/fapi/v1/time
Python           REQUESTS_CA_BUNDLE={file}
Node.js          NODE_EXTRA_CA_CERTS={file}
ccxt             "hostname": "binance.localhost:{port}", "validateServerSsl": "{file}" (async: "cafile"); and
                 in ex.urls["api"] binance.localhost:{port} for binance.com
names            127.0.0.1 api.binance.localhost fapi.binance.localhost dapi.binance.localhost
                 (a line of /etc/hosts; curl and browsers need none)
"""


def describe_plain(url: str) -> list[str]:
    """Return the lines about connecting to `url`."""
    return PLAIN.format(url=url, key=LOCAL_KEY, secret=LOCAL_SECRET).split("\n")


def describe_tls(url: str, port: int, file: Path) -> list[str]:
    """Return the lines about connecting with TLS to `url`; the authority's certificate is in `file`."""
    name = f"https://fapi.binance.localhost:{port}"
    return TLS.format(url=url, port=port, file=file, name=name).split("\n")
