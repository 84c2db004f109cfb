"""Transparent: the exchange and the bot cannot tell that the shim is there, whatever the client library."""

import copy
import inspect

import pytest
from client_drivers import make_driver
from promise_worlds import RecordingServer, live, mask

import exit_shim
from exit_shim.clients.registry import LIBRARIES
from exit_shim.clients.seams import doors_of


def shown(driver, reply):
    """What the bot sees of a reply: types, values, and an exception's cause and text."""
    if reply.error is not None:
        error, seen = reply.error, []
        while error is not None:
            seen.append((type(error), mask(repr(error)), mask(str(error))))
            error = error.__cause__ or error.__context__
        return seen
    answer = reply.answer
    own = mask(repr(answer)) if isinstance(answer, (dict, list)) else getattr(answer, "status_code", None)
    return type(answer), own, mask(repr(driver.read(answer)))


def lived(driver, exchange, server):
    """Live a life; return what arrived and what the bot saw."""
    exchange.reset()
    exchange.service.records.clear()
    del server.requests[:]
    seen = [(word, shown(driver, reply)) for word, reply in live(driver, exchange)]
    records = [mask(repr((r.method, r.path, dict(r.params), r.user_agent))) for r in exchange.requests]
    return seen, [mask(request) for request in server.requests], records


def test_neither_exchange_nor_bot_can_tell(name, way, new_driver, exchange):
    """A life with refusals and faults is the same with the shim: each byte sent, each answer and error."""
    by_websocket = make_driver(name).by_websocket
    with RecordingServer(exchange) as server:
        url = exchange.url if by_websocket else server.url
        bare = lived(new_driver(url), exchange, server)
        driver = new_driver(url)
        driver.cover(way, exit_shim)
        with_shim = lived(driver, exchange, server)
    assert with_shim[1] == bare[1]
    assert with_shim[2] == bare[2]
    assert with_shim[0] == bare[0]
    assert len(bare[2]) >= 18


def methods_of(library, kind):
    """Names of a client class: its doors, what leads to them, and some that are neither."""
    names = [door.method for door in doors_of(library, kind)]
    step = max(1, len(names) // 40)  # ccxt has hundreds of one kind
    others = [name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))]
    return sorted({*names[::step], *others[:: max(1, len(others) // 10)]})


def looks(holder, name):
    """All that Python shows of a method."""
    method = getattr(holder, name)
    attributes = ("__name__", "__qualname__", "__doc__", "__module__")
    return {
        "signature": str(inspect.signature(method)),
        "is coroutine": inspect.iscoroutinefunction(method),
        "is method": inspect.ismethod(method),
        "is function": inspect.isfunction(method),
        "callable": callable(method),
        "repr": mask(repr(method)),
        **{each: getattr(method, each, None) for each in attributes},
    }


def client_with_doors(driver):
    """Return the object that has the doors: the client, or a part of it."""
    library = LIBRARIES[driver.library]
    for part in library.parts:
        return getattr(driver.client, part)
    return driver.client


def test_methods_and_clients_look_like_themselves(name, way, new_driver, exchange):
    """To `inspect`, `isinstance`, `repr` and `dir`, a client behind the shim and its methods are its own."""
    if way == "raw":
        pytest.skip("a transport has no methods that are doors; test_raw_http_looks_like_itself has it")
    driver = new_driver(exchange.url)
    library, bare = LIBRARIES[driver.library], driver.client
    holder = client_with_doors(driver)
    names = methods_of(library, type(holder))
    plain = {each: looks(holder, each) for each in names}
    assert len(names) >= 8
    driver.cover(way, exit_shim)
    used = driver.client
    covered = client_with_doors(driver)
    assert {each: looks(covered, each) for each in names} == plain
    assert isinstance(used, type(bare))
    assert used.__class__ is type(bare)
    assert dir(used) == dir(bare)
    assert vars(used) == vars(bare)
    assert mask(repr(used)) == mask(repr(bare))
    assert used == bare
    assert hash(used) == hash(bare)
    assert type(copy.copy(used)) is type(used)


def classes_of(driver):
    """The classes of a library that `install` may patch, with all that they inherit from."""
    holder = client_with_doors(driver)
    return {kind for kind in (*type(driver.client).__mro__, *type(holder).__mro__) if kind is not object}


def test_uninstalling_restores_the_classes_exactly(name, way, new_driver, exchange):
    """After `uninstall` each class has the very attributes that it had before, in the same order."""
    if way == "wrap":
        pytest.skip("wrap changes no class")
    driver = new_driver(exchange.url)
    before = {kind: attributes_of(kind) for kind in classes_of(driver)}
    driver.cover(way, exit_shim)
    driver.call("open_position")
    assert any(attributes_of(kind) != attributes for kind, attributes in before.items())
    exit_shim.uninstall()
    for kind, attributes in before.items():
        assert attributes_of(kind) == attributes, kind


def attributes_of(kind):
    """The attributes of a class by identity, in their order, without what Python itself fills in later."""
    return [(name, id(value)) for name, value in vars(kind).items() if name not in SLOTS]


SLOTS = frozenset({"_abc_impl", "__abstractmethods__", "__annotations__", "__annotations_cache__"})
