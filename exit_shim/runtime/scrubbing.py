"""Make foreign texts safe to record: readable, and without credentials. Pure."""

import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from types import GetSetDescriptorType
from typing import Any, Final, NamedTuple

MAX_MESSAGE: Final = 300
"""Characters kept of an error's text."""

MAX_READ: Final = 10_000
"""Characters read of a text: an error page may be of any length, and the order's thread waits."""

SHORTEST_SECRET: Final = 4
"""Shorter header values, such as "1", are no secrets, and to replace them would garble the text."""

PLAIN_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "connection", "content-type", "host", "user-agent"}
)

PLAIN_NAMES: Final = PLAIN_HEADERS | {
    *("code", "error", "error_code", "error_message", "message", "msg", "reason", "status", "status_code"),
    *("symbol", "side", "type", "quantity", "price", "stopprice", "triggerprice", "reduceonly"),
    *("closeposition", "positionside", "workingtype", "orderid", "algoid", "clientorderid"),
    *("clientalgoid", "newclientorderid", "origclientorderid", "timestamp", "recvwindow"),
}
"""Names, in lower case, under which a dict of an exception holds no secret. All others may be headers."""

CREDENTIAL_NAMES: Final = frozenset(
    {
        *("api_key", "api_secret", "apiKey", "apiSecret", "apikey", "secret", "secret_key", "key"),
        *(
            "PRIVATE_KEY",
            "private_key",
            "private_key_pass",
            "private_key_passphrase",
            "passphrase",
            "password",
            "token",
        ),
    }
)
"""Attributes in which adapters, and Binance's own connector, hold credentials."""

KEY_AND_SECRET: Final = frozenset({"apiKey", "secret"})
"""The attributes of ccxt's exchanges, which keep their credentials nowhere else."""

SHORTEST_CREDENTIAL: Final = 8
"""Shorter values under these names are no credentials: a dict's key, a placeholder."""

BEGINNING: Final = 8
"""Characters by which a credential is recognized in a text that was perhaps cut short."""

LONGEST_FIELD: Final = 64
"""Characters kept of a recorded field (see `orders`); shorter ones were not cut."""

HIDDEN: Final = "***"
"""Replaces a text that holds a credential."""

PAIR: Final = (str, bytes)
"""The types that a header's name and value have."""

MOST_VALUES: Final = 256
"""The most values that are read of an exception's arguments: enough for a request or an answer."""

_PATTERNS: Final = (
    re.compile(
        r"(?i)((?:signature|x-mbx-apikey|api[_-]?key|api[_-]?secret|listenkey|password|passwd|token)"
        r"\\?[\"']?\s{0,8}(?:[=:]|%3D)\s{0,8}\\?[\"']?)[^&\s\"',;)]+"
    ),
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"),
    re.compile(r"(?i)(\b(?:set-)?cookie[\"']?\s{0,8}[=:]\s{0,8}[\"']?)[^\"',)\r\n]+"),
    re.compile(r"(://)[^/\s@]+(?=@)"),
)


def text_of(value: object) -> str:
    """Return the text of anything, in characters that UTF-8 can carry; never raises."""
    try:
        text = str(value)[:MAX_READ]
    except Exception:  # noqa: BLE001 - a foreign `__str__` may raise anything; the type is what is left
        text = f"<{type(value).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


def scrub(message: object, secrets: Iterable[str] = ()) -> str:
    """Return an error's text, cut short, without signatures, keys or any of `secrets`; never raises."""
    clean = text_of(message)
    for secret in secrets:
        clean = clean.replace(secret, "***")
    for pattern in _PATTERNS:
        clean = pattern.sub(r"\1***", clean)
    return clean[:MAX_MESSAGE]


def describe(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """Return `TypeName: text` of an error, without what its dicts hold besides plain fields; never raises."""
    name, text = type(error).__name__, text_of(error)
    secrets = sorted({*secrets, *hidden_in(error)}, key=len, reverse=True)
    return scrub(f"{name}: {text}" if text else name, secrets)


def hidden_in(error: BaseException) -> set[str]:
    """Return the values in an exception's arguments and attributes that its text must not show."""
    # Libraries pass whole headers to their exceptions (`ClientError(400, -2021, "…", {"Set-Cookie": "…"})`),
    # and Python's text of an exception shows all its arguments.
    hidden: set[str] = set()
    pending: list[object] = [error]
    for _ in range(MOST_VALUES):
        if not pending:
            break
        try:
            _take_apart(pending.pop(), pending, hidden)
        except Exception:  # noqa: BLE001, S112 - a foreign mapping may raise anything
            continue
    return hidden


def _take_apart(value: object, pending: list[object], hidden: set[str]) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            _look_at(name, item, pending, hidden)
    elif isinstance(value, tuple) and len(value) == len(PAIR) and all(isinstance(one, PAIR) for one in value):
        _look_at(value[0], value[1], pending, hidden)
    elif isinstance(value, list | tuple | set | frozenset):
        pending.extend(value)
    elif isinstance(value, BaseException):
        pending += [*value.args, *vars(value).values()]
    # A request or an answer has headers.
    else:
        pending.append(getattr(value, "__dict__", {}).get("headers"))


def _look_at(name: object, item: object, pending: list[object], hidden: set[str]) -> None:
    if not isinstance(item, PAIR):
        pending.append(item)
    elif text_of(name).lower() not in PLAIN_NAMES:
        hidden.update(form for form in _spellings(item) if len(form) >= SHORTEST_SECRET)


def secrets_of(client: object, params: Mapping[str, Any], shown: str | None = None) -> tuple[str, ...]:
    """Return the credentials of one call, longest first: the client's, those in headers, and a shown one."""
    # From the client's own attributes, never through `__getattr__`: adapters may act on it.
    own = getattr(client, "__dict__", {})
    secrets = {form for secret in (*credentials_of(client), shown) for form in _spellings(secret)}
    for options in (params, own.get("_requests_params"), params.get("requests_params")):
        secrets.update(_in_headers(options))
    return tuple(sorted(secrets, key=len, reverse=True))


def credentials_of(client: object) -> Iterator[object]:
    """Yield the keys and secrets that a client holds, and those of the clients that an adapter holds."""
    own = getattr(client, "__dict__", {})
    for holder in (own, *map(attributes_of, list(own.values()))):
        yield from (holder[name] for name in ("API_KEY", "API_SECRET") if name in holder)
        for name in CREDENTIAL_NAMES & holder.keys():
            if isinstance(secret := holder[name], PAIR) and len(secret) >= SHORTEST_CREDENTIAL:
                yield secret


def attributes_of(value: object) -> dict[str, Any]:
    """Return an object's own attributes; none for plain values; never raises."""
    if isinstance(value, (str, int, float, bytes, dict, list, tuple, type(None))):
        return {}
    try:
        own = _stored_attributes(value)
    except Exception:  # noqa: BLE001 - a lazy object may act, and fail
        return {}
    return own if type(own) is dict else {}


def _stored_attributes(value: object) -> Any:
    """Return an object's attributes as they are stored, past a property that shows others."""
    # The configuration of Binance's SDK shows "[REDACTED]" in the place of its credentials.
    slots = (vars(kind).get("__dict__") for kind in reversed(type(value).__mro__))
    slot: Any = next((slot for slot in slots if type(slot) is GetSetDescriptorType), None)
    return getattr(value, "__dict__", None) if slot is None else slot.__get__(value)


class Marks(NamedTuple):
    """Recognize a client's credentials in recorded texts, which may be cut short or in capitals.

    Attributes:
        shortest: The length below which a text holds no credential.
        beginnings: How each credential begins, in lower case.
    """

    shortest: float
    beginnings: tuple[str, ...]

    def are_in(self, text: str) -> bool:
        """Return whether a text holds a credential, or the beginning of one."""
        if len(text) < self.shortest:
            return False
        lowered = text.lower()
        # No `any`: each step of a generator is a call, and an order waits.
        for beginning in self.beginnings:  # noqa: SIM110
            if beginning in lowered:
                return True
        return False


def marks_of_owner(method: object) -> Marks:
    """Return the marks of the credentials of the client that a method belongs to."""
    try:
        own = method.__self__.__dict__  # type: ignore[attr-defined]
        return _marks((own["API_KEY"], own["API_SECRET"]))
    # An adapter's method, or credentials that are no texts.
    except (AttributeError, KeyError, TypeError):
        held = _held_by(getattr(method, "__self__", None))
        return _marks(tuple(one for one in held if isinstance(one, str)))


def _held_by(client: object) -> Iterable[object]:
    own = getattr(client, "__dict__", {})
    # An exchange of ccxt has over a hundred attributes, and an order waits.
    if own.keys() >= KEY_AND_SECRET:
        return [own[name] for name in CREDENTIAL_NAMES & own.keys()]
    return credentials_of(client)


@functools.lru_cache(maxsize=64)
def _marks(secrets: tuple[object, ...]) -> Marks:
    texts = [secret for secret in secrets if isinstance(secret, str) and len(secret) >= BEGINNING]
    shortest = min((min(len(text), LONGEST_FIELD) for text in texts), default=math.inf)
    return Marks(shortest, tuple(text[:BEGINNING].lower() for text in texts))


def _in_headers(options: object) -> Iterator[str]:
    headers = options.get("headers") if isinstance(options, Mapping) else None
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            if text_of(name).lower() not in PLAIN_HEADERS:
                yield from (form for form in _spellings(value) if len(form) >= SHORTEST_SECRET)


def _spellings(secret: object) -> Iterator[str]:
    """Yield a secret as it is and as an error may quote it: escaped, or without its line break."""
    if isinstance(secret, bytes):
        secret = secret.decode("latin-1")
    if isinstance(secret, str):
        yield from {form for form in (secret, secret.strip(), repr(secret)[1:-1]) if form.strip()}
