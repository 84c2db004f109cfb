"""Hosts that bots call beside the exchange get a dummy answer in a `--local` run."""

import pytest
from local_runs import run_attempts

pytestmark = pytest.mark.xdist_group("dummy_hosts")  # whose workers share what a fixture has run

BOT = """
import asyncio, time
import httpx, requests

TELEGRAM = "https://api.telegram.org/bot12345:abc"

@attempt
def telegram_me(): return requests.get(f"{TELEGRAM}/getMe").json()
@attempt
def telegram_json():
    return requests.post(f"{TELEGRAM}/sendMessage", json={"chat_id": -5, "text": "up"}).json()
@attempt
def telegram_form():
    return requests.post(f"{TELEGRAM}/sendMessage", data={"chat_id": "7", "text": "up"}).json()
@attempt
def telegram_query(): return requests.get(f"{TELEGRAM}/sendMessage?chat_id=@room&text=up").json()
@attempt
def telegram_photo():
    return requests.post(f"{TELEGRAM}/sendPhoto", data={"chat_id": 7}, files={"photo": b"x"}).json()
@attempt
def telegram_webhook(): return requests.post(f"{TELEGRAM}/deleteWebhook").json()
@attempt
def telegram_poll():
    async def poll():
        async with httpx.AsyncClient() as client:
            return (await client.post(f"{TELEGRAM}/getUpdates", data={"timeout": 60}, timeout=60)).json()
    start = time.monotonic()
    return asyncio.run(poll()), 0.5 < time.monotonic() - start < 8
@attempt
def discord():
    return requests.post("https://discord.com/api/webhooks/1/x", json={"content": "up"}).status_code
@attempt
def discord_and_wait():
    return requests.post("https://discordapp.com/api/webhooks/1/x?wait=true", json={"content": "up"}).json()
@attempt
def slack(): return requests.post("https://hooks.slack.com/services/a/b", json={"text": "up"}).text
@attempt
def address(): return requests.get("https://api.ipify.org").text
@attempt
def address_in_json(): return requests.get("https://api.ipify.org?format=json").json()["ip"]
@attempt
def address_in_a_line(): return requests.get("https://checkip.amazonaws.com").text
@attempt
def address_at_httpbin(): return requests.get("http://httpbin.org/ip").json()["origin"]
@attempt
def elsewhere(): return requests.get("https://news.example.invalid")
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Return the result of each call."""
    return run_attempts(tmp_path_factory.mktemp("bot"), BOT)


@pytest.mark.parametrize(
    ("way", "answered"),
    [
        ("telegram_me", "'is_bot': True"),
        ("telegram_json", "'id': -5, 'type': 'supergroup'"),
        ("telegram_json", "'text': 'up'"),
        ("telegram_form", "'id': 7, 'type': 'private'"),
        ("telegram_query", "'type': 'channel'"),
        ("telegram_photo", "'message_id':"),
        ("telegram_webhook", "{'ok': True, 'result': True}"),
        ("telegram_poll", "({'ok': True, 'result': []}, True)"),
        ("discord", "204"),
        ("discord_and_wait", "'content': 'up'"),
        ("slack", "'ok'"),
        ("address", "'203.0.113.7'"),
        ("address_in_json", "'203.0.113.7'"),
        ("address_in_a_line", "'203.0.113.7\\n'"),
        ("address_at_httpbin", "'203.0.113.7'"),
    ],
)
def test_dummy_answers(tried, way, answered):
    """A message or a look-up of the own address gets an answer in the form that its host gives."""
    assert answered in tried[way].get("answer", "").replace("\\\\n", "\\n"), tried[way]


def test_dummies_and_refusals_are_counted(tried):
    """Dummy answers and refusals are counted by host for the end of the run."""
    counts = {name: (reason, count) for kind, name, reason, count in tried["unanswered"] if kind == "host"}
    assert counts["api.telegram.org"] == ("answered by a dummy; nothing was sent", 7)
    assert counts["discord.com"][1] == 1
    assert counts["news.example.invalid"] == ("no option allows a real host", 1)
