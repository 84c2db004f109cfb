"""Encode events as JSON, and decode them as far as possible."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from exit_shim.domain.events import DECODERS
from exit_shim.runtime.scrubbing import text_of

encode_exactly: Final = msgspec.json.Encoder().encode


def encode(event: msgspec.Struct) -> bytes:
    """Return an event as JSON; values that JSON or UTF-8 cannot hold become text."""
    try:
        return encode_exactly(event)
    # A bot's odd values cost their own exactness, not the record.
    except Exception:  # noqa: BLE001
        return encode_exactly(_plain(event))


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {text_of(name): _plain(item) for name, item in value.items()}
    if value is None or type(value) in (bool, int, float):
        return value
    return text_of(value)


S = TypeVar("S", bound=msgspec.Struct)


class Subject(msgspec.Struct):
    """The fields of an event that say what it is about."""

    symbol: str | None = None
    account: str | None = None


# Made at import, as those of the events are.
_SUBJECT: Final = msgspec.json.Decoder(Subject)

_PLACEHOLDERS: Final[dict[str, Any]] = {
    "ts": 0,
    "door": "unknown",
    "operation": "place",
    "kind": "other_exit",
    "module": "unknown",
    "evidence": "unknown",
    "mode": "unknown",
    "result": "unknown",
    "reasons": (),
    "why": "unknown",
    "symbol": "unknown",
    "position_side": "BOTH",
    "episode": "",
    "verb": "note",
    "events": 0,
    "code": "unknown",
    "amount": "unknown",
    "source": "watch",
    "side": "unknown",
    "store": "regular",
    "status": "unknown",
    "type": "unknown",
    "alert": "unknown",
    "key": "",
    "title": "",
    "text": "",
    "by": "unknown",
}
"""The values of required fields that are missing, or are not known to this release."""


def decode(struct: type[S], body: str) -> S:
    """Decode a row's body; read one of another release, or with odd values, as far as possible."""
    try:
        decoded: S = DECODERS[struct].decode(body)
    except msgspec.DecodeError:
        with contextlib.suppress(ValueError):
            return _as_far_as_possible(struct, json.loads(body))
        return _as_far_as_possible(struct, {})
    return decoded


def subject_of(body: str) -> Subject:
    """Return what a row is about; nothing where its body is damaged."""
    try:
        return _SUBJECT.decode(body)
    except msgspec.DecodeError:
        return Subject()


def _as_far_as_possible(struct: type[S], raw: object) -> S:
    kept: dict[str, Any] = {}
    fields = raw if isinstance(raw, dict) else {}
    for field in msgspec.structs.fields(struct):
        value = fields.get(field.name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            kept[field.name] = _as_far_as_possible(field.type, value)
            continue
        for candidate in (value, text_of(value)):
            with contextlib.suppress(msgspec.ValidationError):
                if value is not None:
                    kept.setdefault(field.name, msgspec.convert(candidate, field.type))
        if field.name not in kept and field.required:
            kept[field.name] = _PLACEHOLDERS[field.name]
    return struct(**kept)
