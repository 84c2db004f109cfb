"""Hosts that many bots call besides the exchange: they get dummy answers, so that the bot goes on."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from exit_shim.exchange.http.gate import HttpAnswer
from exit_shim.exchange.http.request import RawRequest

OWN_ADDRESS: Final = "203.0.113.7"
"""What look-ups of the own address answer: an address for documentation (RFC 5737)."""

LOOKUP_HOSTS: Final = frozenset(
    {
        "api.ipify.org",
        "api.myip.com",
        "api4.ipify.org",
        "api64.ipify.org",
        "checkip.amazonaws.com",
        "httpbin.org",
        "icanhazip.com",
        "ident.me",
        "ifconfig.co",
        "ifconfig.me",
        "ip-api.com",
        "ipecho.net",
        "ipinfo.io",
        "ipv4.icanhazip.com",
        "jsonip.com",
        "v4.ident.me",
        "www.icanhazip.com",
    }
)
JSON_HOSTS: Final = frozenset({"api.myip.com", "httpbin.org", "ip-api.com", "jsonip.com"})
"""Those that answer JSON whatever the path."""

LONGEST_POLL: Final = 2.0
"""Seconds that a poll for messages waits at most."""

BOT: Final = {"is_bot": True, "first_name": "Local", "username": "local_dummy_bot"}

NOTE: Final = "answered by a dummy; nothing was sent"


class DummyHosts:
    """Answer Telegram, Discord, Slack and look-ups of the own address; nothing is sent anywhere.

    Args:
        note: Called with the host of each request, and how it was answered.
    """

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note

    async def answer(self, request: RawRequest) -> HttpAnswer | None:
        """Answer a request to one of DUMMY_HOSTS; return None for any other."""
        host = _host(request)
        if host not in DUMMY_HOSTS:
            return None
        self._note(host, NOTE)
        await asyncio.sleep(_poll_seconds(request))
        status, content = _ANSWERS[host](request)
        if isinstance(content, str):
            return HttpAnswer(status, content.encode(), content_type="text/plain")
        return HttpAnswer(status, b"" if content is None else msgspec.json.encode(content))


def _host(request: RawRequest) -> str:
    return request.headers.get("host", "").partition(":")[0].lower()


def _fields(request: RawRequest) -> dict[str, Any]:
    """Return the parameters of a request from its query, form or JSON."""
    fields: dict[str, Any] = dict(parse_qsl(request.query))
    if "json" in request.headers.get("content-type", ""):
        try:
            content = msgspec.json.decode(request.body.encode())
        except msgspec.DecodeError:
            content = None
        return {**fields, **content} if isinstance(content, dict) else fields
    return {**fields, **request.params}


def _own_address(request: RawRequest) -> tuple[int, Any]:
    host = _host(request)
    if "json" not in request.path + request.query and host not in JSON_HOSTS:
        return 200, f"{OWN_ADDRESS}\n" if host in {"checkip.amazonaws.com", "icanhazip.com"} else OWN_ADDRESS
    place = {"status": "success", "country": "Local", "countryCode": "ZZ", "city": "Local", "timezone": "UTC"}
    return 200, {"ip": OWN_ADDRESS, "query": OWN_ADDRESS, "origin": OWN_ADDRESS, **place}


def _slack(request: RawRequest) -> tuple[int, Any]:
    if request.path.startswith("/api/"):
        return 200, {"ok": True, "channel": _fields(request).get("channel", "C0"), "ts": f"{time.time():.6f}"}
    return 200, "ok"


def _discord(request: RawRequest) -> tuple[int, Any]:
    content = _fields(request)
    message = {
        "id": str(_number()),
        "type": 0,
        "channel_id": "1",
        "content": content.get("content", ""),
        "embeds": content.get("embeds", []),
        "author": {"id": "1", "username": "local", "bot": True},
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    }
    if "/webhooks/" in request.path:
        is_asked = request.method != "POST" or "wait=true" in request.query.lower()
        return (200, message) if is_asked else (204, None)
    if request.path.endswith("/messages"):
        return 200, message
    return 404, {"message": "404: Not Found", "code": 0}


def _telegram(request: RawRequest) -> tuple[int, Any]:
    bot, method = _telegram_call(request)
    if not bot:
        return 404, {"ok": False, "error_code": 404, "description": "Not Found"}
    return 200, {"ok": True, "result": _telegram_result(bot, method, _fields(request))}


def _telegram_call(request: RawRequest) -> tuple[str, str]:
    """Return the token and the method, in lower case, of a call to Telegram."""
    head, _, method = request.path.strip("/").partition("/")
    return head.removeprefix("bot") if head.startswith("bot") else "", method.lower()


def _telegram_result(token: str, method: str, fields: Mapping[str, Any]) -> Any:
    number = token.partition(":")[0]
    bot = {"id": int(number) if number.isdecimal() else 1, **BOT}
    if method == "getme":
        return bot | {
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }
    if method in {"getupdates", "getmycommands", "getchatadministrators"}:
        return []
    if method == "getwebhookinfo":
        return {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
    chat = _telegram_chat(fields.get("chat_id", 1))
    if method == "getchat":
        return chat | {"accent_color_id": 0, "max_reaction_count": 0}
    if method == "sendchataction" or not method.startswith(("send", "edit", "forward", "copy")):
        return True
    message = {"message_id": _number() % 2**31, "date": int(time.time()), "chat": chat, "from": bot}
    message["text"] = str(fields.get("text", fields.get("caption", "")))
    return [message] if method == "sendmediagroup" else message


def _telegram_chat(chat_id: object) -> dict[str, Any]:
    try:
        number = int(str(chat_id))
    except ValueError:
        return {"id": -1001, "type": "channel", "title": str(chat_id), "username": str(chat_id).lstrip("@")}
    if number < 0:
        return {"id": number, "type": "supergroup", "title": "Local"}
    return {"id": number, "type": "private", "first_name": "Local"}


def _poll_seconds(request: RawRequest) -> float:
    """Return how long a call waits for messages that never come."""
    if _telegram_call(request)[1] != "getupdates":
        return 0.0
    try:
        return max(0.0, min(float(_fields(request).get("timeout", 0)), LONGEST_POLL))
    except (TypeError, ValueError):
        return 0.0


def _number() -> int:
    """Return a number that no other message has."""
    return time.time_ns() // 1000


_ANSWERS: Final[Mapping[str, Callable[[RawRequest], tuple[int, Any]]]] = {
    **dict.fromkeys(LOOKUP_HOSTS, _own_address),
    **dict.fromkeys(("discord.com", "discordapp.com"), _discord),
    **dict.fromkeys(("slack.com", "hooks.slack.com"), _slack),
    "api.telegram.org": _telegram,
}
DUMMY_HOSTS: Final = frozenset(_ANSWERS)
"""The hosts that are answered."""
