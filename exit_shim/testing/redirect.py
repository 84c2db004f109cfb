"""The redirection of python-binance to a local exchange: its hosts, and the keys of its clients."""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import wrapt

_ADDRESS: Final = re.compile(r"(https?|wss?)://", re.ASCII)

LOCAL_KEY: Final = "local-key"
LOCAL_SECRET: Final = "local-secret"  # noqa: S105 - opens nothing but the exchange on loopback


def redirect_address(address: str, url: str) -> str:
    """Return `address` with the scheme and host of `url`; its path stays.

    Streams of spot and COIN-M get a path of their own, since one host has the streams of one market.
    """
    from exit_shim.exchange.ws.addresses import PREFIXES, market_of_host  # noqa: PLC0415 - heavy

    target = urlsplit(url)
    scheme, _, rest = address.partition("://")
    host, _, path = rest.partition("/")
    if not scheme.startswith("ws"):
        return f"http://{target.netloc}/{path}"
    prefix = PREFIXES.get(market_of_host(host))
    return f"ws://{target.netloc}/{f'{prefix}/' if prefix else ''}{path}"


def _addresses(owner: type) -> dict[str, str]:
    return {
        name: value for name, value in vars(owner).items() if isinstance(value, str) and _ADDRESS.match(value)
    }


@contextlib.contextmanager
def redirect_clients(url: str, register: Callable[[str, str], None]) -> Iterator[None]:
    """Make every python-binance client inside the block talk to `url`, testnet and demo ones included.

    Args:
        url: Scheme, host and port, such as "http://127.0.0.1:8080".
        register: Called with the key and secret of each client, so that the exchange can check signatures.
            A client without keys is given local ones: a bot can be tried without any.
    """
    import binance  # noqa: PLC0415 - heavy, and only needed here

    # By their names at the top: older releases have both clients and their base in one module.
    base = binance.Client.__mro__[-2]
    owners = (*binance.Client.__mro__[:-1], *binance.AsyncClient.__mro__[:-1], binance.BinanceSocketManager)
    signature = inspect.signature(base.__init__)

    @wrapt.decorator
    def with_known_keys(init: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = signature.bind(client, *args, **kwargs)
        key = call.arguments.get("api_key") or LOCAL_KEY
        secret = call.arguments.get("api_secret") or LOCAL_SECRET
        call.arguments.update(api_key=key, api_secret=secret)
        # The exchange here checks HMAC alone.
        for name in ("private_key", "private_key_pass"):
            call.arguments.pop(name, None)
        register(key, secret)
        init(*call.args[1:], **call.kwargs)

    with contextlib.ExitStack() as undo:
        for owner in dict.fromkeys(owners):
            for name, address in _addresses(owner).items():
                setattr(owner, name, redirect_address(address, url))
                undo.callback(setattr, owner, name, address)
        undo.callback(setattr, base, "__init__", base.__init__)
        base.__init__ = with_known_keys(base.__init__)
        yield
