"""Texts of strangers made safe to keep: readable whatever they are, and without credentials. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

MAX_MESSAGE: Final = 300
"""Characters kept of an error's text."""

MAX_READ: Final = 10_000
"""Characters looked at: an error page may be of any length, and the order's thread waits meanwhile."""

SHORTEST_SECRET: Final = 4
"""Shorter header values ("1", "gzip" is longer) are no secrets, and replacing them would garble the text."""

PLAIN_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "connection", "content-type", "host", "user-agent"}
)

_PATTERNS: Final = (
    re.compile(
        r"(?i)((?:signature|x-mbx-apikey|api[_-]?key|api[_-]?secret|listenkey|password|passwd|token)"
        r"[\"']?\s{0,8}[=:]\s{0,8}[\"']?)[^&\s\"',;)]+"
    ),
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"),
    re.compile(r"(://)[^/\s@]+(?=@)"),
)


def text_of(value: object) -> str:
    """The text of anything, in characters that UTF-8 can carry; never raises."""
    try:
        said = str(value)[:MAX_READ]
    except Exception:  # noqa: BLE001 - whatever a stranger's __str__ raises: its type is all that can be said
        said = f"<{type(value).__name__}>"
    return said.encode("utf-8", "backslashreplace").decode()


def scrub(message: object, secrets: Iterable[str] = ()) -> str:
    """An error's text, cut short, without signatures, keys or any of `secrets`; never raises."""
    clean = text_of(message)
    for secret in secrets:
        clean = clean.replace(secret, "***")
    for pattern in _PATTERNS:
        clean = pattern.sub(r"\1***", clean)
    return clean[:MAX_MESSAGE]


def describe(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """`TypeName: text` of an error, scrubbed; never raises."""
    name, said = type(error).__name__, text_of(error)
    return scrub(f"{name}: {said}" if said else name, secrets)


def secrets_of(client: object, params: Mapping[str, Any]) -> tuple[str, ...]:
    """The credentials that one call carries, longest first: the client's, and those in headers.

    Read from the client's own attributes, never through `__getattr__`: adapters may act on it.
    """
    own = getattr(client, "__dict__", {})
    found = {form for name in ("API_KEY", "API_SECRET") for form in _spellings(own.get(name))}
    for options in (params, own.get("_requests_params"), params.get("requests_params")):
        found.update(_in_headers(options))
    return tuple(sorted(found, key=len, reverse=True))


def _in_headers(options: object) -> Iterator[str]:
    headers = options.get("headers") if isinstance(options, Mapping) else None
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            if text_of(name).lower() not in PLAIN_HEADERS:
                yield from (form for form in _spellings(value) if len(form) >= SHORTEST_SECRET)


def _spellings(secret: object) -> Iterator[str]:
    """As it is, and as an error may quote it: a key read from a file with its newline is quoted escaped."""
    if isinstance(secret, bytes):
        secret = secret.decode("latin-1")
    if isinstance(secret, str):
        yield from {form for form in (secret, secret.strip(), repr(secret)[1:-1]) if form.strip()}
