"""How a failed test shows what was refused: a few lines, with the bot's places and without the libraries'."""

import re

import pytest

BOT = """
import asyncio
import aiohttp, requests
from binance import Client


class Bot:
    def price(self):
        return requests.get("https://fapi.binance.com/fapi/v1/time").json()

    async def price_async(self):
        async with aiohttp.ClientSession() as session:
            await session.get("https://fapi.binance.com/fapi/v1/time")

    def connect(self):
        return Client("aB3" * 21 + "x", "s")

    def give_up(self):
        try:
            self.price()
        except requests.ConnectionError as error:
            raise RuntimeError("the bot has no price") from error
"""
TESTS = """
import pytest
from bot import Bot

@pytest.fixture
def priced(local_exchange):
    return Bot().price()

def test_sync(local_exchange):
    Bot().price()

async def test_async(fake_client):
    await Bot().price_async()

def test_setup(priced):
    pass

def test_key(local_exchange):
    Bot().connect()

def test_own_error(local_exchange):
    Bot().give_up()
"""
LINES = 14
"""The most lines of a failure: its title, the bot's places, the error, and a section."""


@pytest.fixture
def report(pytester, monkeypatch, run):
    """Return the lines of one failed test, in a process of its own."""
    run("")  # writes the ini file

    def read(test):
        monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
        pytester.makepyfile(bot=BOT, test_it=TESTS)
        only = ["-p", "no:cacheprovider", "-p", "no:requests_mock", "-p", "no:hypothesispytest"]
        result = pytester.runpytest_subprocess(*only, f"test_it.py::{test}")
        lines = result.outlines
        start = next(number for number, line in enumerate(lines) if f" {test} __" in line)
        end = next(number for number, line in enumerate(lines) if "short test summary" in line)
        return lines[start:end]

    return read


def without_numbers(lines):
    """The lines without the numbers of lines of code."""
    return [re.sub(r"\.py:\d+:", ".py:", line) for line in lines]


@pytest.mark.parametrize(
    ("test", "places"),
    [
        ("test_sync", ["test_it.py: in test_sync", "bot.py: in price"]),
        ("test_async", ["test_it.py: in test_async", "bot.py: in price_async"]),
        ("test_setup", ["test_it.py: in priced", "bot.py: in price"]),
    ],
)
def test_a_refused_host_is_a_few_lines(report, test, places):
    """Through requests, aiohttp and in a fixture: the bot's lines and one error, said once."""
    lines = report(test)
    assert len(lines) <= LINES, "\n".join(lines)
    assert [line for line in without_numbers(lines) if ": in " in line] == places
    assert sum("tried to look up 'fapi.binance.com'" in line for line in lines) == 1


def test_a_refused_key_is_a_few_lines(report):
    """The client's class is not shown, nor the key."""
    lines = report("test_key")
    assert len(lines) <= LINES, "\n".join(lines)
    assert "bot.py: in connect" in without_numbers(lines)
    assert sum("looks real" in line for line in lines) == 1


def test_what_the_bot_made_of_it_stays_its_own_error(report):
    """A bot that raises an error of its own fails with that; the refusal is in a section."""
    lines = report("test_own_error")
    assert len(lines) <= LINES, "\n".join(lines)
    assert "E   RuntimeError: the bot has no price" in lines
    assert sum("tried to look up 'fapi.binance.com'" in line for line in lines) == 1
    assert any("exit_shim refused" in line for line in lines)
