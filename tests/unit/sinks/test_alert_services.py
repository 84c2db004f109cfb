"""Alerts on their way: addresses, names without secrets, and services that misbehave."""

import threading
import time

import pytest

from exit_shim.sinks.alerts import (
    MOST_WAITING,
    AlertService,
    Delivery,
    Mail,
    find_urls,
    named,
    secrets_in,
)

URL = "tgram://123456789:AAE-tokenOfTheBot/-100200300?thread=7777&x=%73ecret%21word"
MAIL = Mail("title", "text")


@pytest.mark.parametrize(
    ("written", "urls"),
    [
        ("", []),
        ("json://a/b", ["json://a/b"]),
        (" json://a/b,\n tgram://1:2/3  mailto://u:p@h ", ["json://a/b", "tgram://1:2/3", "mailto://u:p@h"]),
        ("mailto://u:p@h?to=a@b,c@d,json://a", ["mailto://u:p@h?to=a@b,c@d", "json://a"]),
    ],
)
def test_addresses_are_separated_by_spaces_and_commas(monkeypatch, written, urls):
    """A comma inside an address does not end it."""
    monkeypatch.setenv("EXIT_SHIM_ALERT_URLS", written)
    assert find_urls() == urls


def test_services_are_named_by_their_scheme():
    """A second one of a scheme has a number, and what is no address shows nothing of itself."""
    urls = ["json://a", "TGRAM://x", "json://b", "s3cret", "pass word://x"]
    assert [name for name, _ in named(urls)] == ["json", "tgram", "json-2", "?", "?-2"]


def failing(text, secrets=()):
    """A service that fails with a text."""

    def notify(_):
        raise OSError(text)

    return AlertService("tgram", notify, secrets, ())


def deliver(service, mail=MAIL, limit_s=60.0):
    """Send a message, and return what became of it."""
    delivery = Delivery(mail, [service.name], time.monotonic() + limit_s)
    service.send(delivery)
    while not delivery.is_over(time.monotonic()):
        time.sleep(0.01)
    service.stop()
    return delivery


@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach {URL}",
        "Max retries exceeded with url: /bot123456789:AAE-tokenOfTheBot/sendMessage",
        "chat -100200300 not found, thread 7777, secret!word",
        "line\nbreak \x1b[31m AAE-tokenOfTheBot",
    ],
)
def test_no_part_of_an_address_is_in_a_reason(text):
    """Whatever a library says of a failure, each part of the address is hidden, as written and decoded."""
    secrets = secrets_in(URL)
    raised = deliver(failing(text, secrets)).failures["tgram"]
    logged = deliver(AlertService("tgram", lambda _: text, secrets, ())).failures["tgram"]
    for reason in (raised, logged):
        assert "***" in reason
        assert reason.isprintable()
        for part in ("123456789", "AAE", "100200300", "7777", "secret!word"):
            assert part not in reason


def test_a_service_that_hangs_fails_in_time_and_takes_no_more_than_it_can_hold():
    """The message counts as failed when its time is up; once too many wait, the next one fails at once."""
    over, hangs = threading.Event(), threading.Event()

    def hang(_):
        hangs.set()
        over.wait()

    service = AlertService("json", hang, (), ())
    first = Delivery(MAIL, ["json"], time.monotonic() + 60)
    service.send(first)
    assert hangs.wait(60)
    assert not first.is_over(first.until - 1)
    assert first.is_over(first.until)
    assert first.failures == {"json": "no answer in time"}
    late = [Delivery(MAIL, ["json"], time.monotonic() + 60) for _ in range(MOST_WAITING + 2)]
    for delivery in late:
        service.send(delivery)
    assert late[-1].failures == {"json": "it hangs, and too many messages wait for it"}
    over.set()
    while not late[0].is_over(time.monotonic()):
        time.sleep(0.01)
    assert first.failures == {"json": "no answer in time"}  # what comes too late changes nothing
    assert late[0].taken == ("json",)
    service.stop()


def test_a_message_whose_time_was_up_before_its_turn_was_not_taken():
    """A service that nobody asked did not take it."""
    asked = []
    service = AlertService("json", asked.append, (), ())
    delivery = Delivery(MAIL, ["json"], time.monotonic())
    service.deliver(delivery, threading.Event())
    assert delivery.taken == ()
    assert asked == []


def test_a_message_is_sent_again_before_it_fails():
    """Two failures and a success are a success."""
    answers = ["no", "no", None]
    service = AlertService("json", lambda _: answers.pop(0), (), (0.01, 0.01))
    assert deliver(service).taken == ("json",)
    assert answers == []
