"""A ccxt whose internals are others: the doors that are missing are named, and nothing breaks."""

import sys
from types import ModuleType

import pytest
from ccxt_world import Desk

from exit_shim.cli.doctor_libraries import inspect_library, problem_of
from exit_shim.clients.ccxt import CCXT
from exit_shim.clients.registry import can_be_cloned

PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")


def newer_class(**methods):
    """Return a class of a ccxt that is to come, whose methods reach the exchange in another way."""

    class binance:  # noqa: N801 - as ccxt names it
        id = "binance"

        def __init__(self, config):
            self.apiKey, self.secret = config["apiKey"], config["secret"]
            self.urls, self.options, self.session = {"api": {}}, {}, None
            self.sent = []

        def create_order(self, symbol, type, side, amount, price=None, params=None):  # noqa: A002
            return self.transmit("order", {"symbol": symbol, "type": type, "side": side, **(params or {})})

        def transmit(self, path, fields):
            self.sent.append((path, fields))
            return {"id": "7"}

    for name, method in methods.items():
        setattr(binance, name, method)
    binance.__module__ = "ccxt.binance"
    return binance


@pytest.fixture
def newer(monkeypatch):
    """A function that puts a newer ccxt with these methods of its class in the place of the installed one."""

    def put(**methods):
        for package in PACKAGES:
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
            module = ModuleType(f"{package}.binance")
            module.binance = newer_class(**methods)
            for name in ("binance", "binanceusdm", "binancecoinm"):
                monkeypatch.setitem(sys.modules, f"{package}.{name}", module)
        return sys.modules["ccxt.binance"].binance

    monkeypatch.setattr("exit_shim.cli.doctor_libraries.version", lambda _: "99.0")
    return put


def sent_by(desk, kind):
    """What clients of a class send, wrapped and with the classes covered."""
    wrapped, installed = (kind({"apiKey": "some-api-key", "secret": "some-secret"}) for _ in range(2))
    assert desk.shim.wrap(wrapped).create_order("X", "limit", "sell", 1)["id"] == "7"
    with desk.shim.install():
        assert installed.create_order("X", "limit", "sell", 1)["id"] == "7"
    assert not can_be_cloned(wrapped)
    assert desk.take() == []
    return wrapped.sent + installed.sent


def test_a_ccxt_without_its_request_is_named(newer):
    """Orders pass as they are, and doctor says that they are not recorded, and what was tested."""
    desk, kind = Desk(), newer()
    fields = {"symbol": "X", "type": "limit", "side": "sell"}
    assert sent_by(desk, kind) == [("order", fields)] * 2
    state = inspect_library(CCXT)
    assert state.missing == ["request", "watch"]
    problem = problem_of(state)
    assert problem.startswith("ccxt 99.0 lacks request, watch: orders that go through them are not recorded")
    desk.shim.close()


def test_a_ccxt_whose_request_takes_something_else_is_not_in_the_way(newer):
    """What cannot be read passes as it is, and doctor names the door."""

    def request(self, call, /, **more):
        return self.transmit(call, more)

    def create_order(self, symbol, type, side, amount, price=None, params=None):  # noqa: A002, PLR0913, PLR0917
        return self.request({"endpoint": "order"}, verb="POST", fields={"symbol": symbol, "side": side})

    desk, kind = Desk(), newer(request=request, create_order=create_order)
    more = {"verb": "POST", "fields": {"symbol": "X", "side": "sell"}}
    assert sent_by(desk, kind) == [({"endpoint": "order"}, more)] * 2
    assert inspect_library(CCXT).missing == ["request", "watch"]
    desk.shim.close()
