"""Every attribute of python-binance's clients, one by one: through the shim it is what it is without it."""

import asyncio
import contextlib
import copy
import gc
import inspect
import pickle
import threading
import typing
import warnings
import weakref
from unittest import mock

import binance
import pytest
import wrapt
from binance import AsyncClient, BinanceSocketManager, Client, DepthCacheManager
from bots import STOP, FakeClient

import exit_shim
from exit_shim.clients.registry import DOOR_NAMES
from exit_shim.domain.doors import Door

OWNERS = pytest.mark.parametrize("owner", [Client, AsyncClient])
WAYS = pytest.mark.parametrize("way", ["wrapped", "installed", "both"])

ASPECTS = {
    "class": lambda it: it.__class__,
    "name": lambda it: it.__name__,
    "qualified name": lambda it: it.__qualname__,
    "docstring": lambda it: it.__doc__,
    "documentation": inspect.getdoc,
    "module": lambda it: it.__module__,
    "signature": inspect.signature,
    "annotations": lambda it: it.__annotations__,
    "inspect's annotations": inspect.get_annotations,
    "Python 3.14's annotate function": lambda it: it.__annotate__,
    "type hints": typing.get_type_hints,
    "defaults": lambda it: (it.__defaults__, it.__kwdefaults__),
    "code": lambda it: it.__code__,
    "function": lambda it: it.__func__,
    "client": lambda it: id(it.__self__),
    "asyncio's coroutine function": asyncio.iscoroutinefunction,
    "inspect's coroutine function": inspect.iscoroutinefunction,
    "generators": lambda it: (inspect.isgeneratorfunction(it), inspect.isasyncgenfunction(it)),
    "kind": lambda it: (inspect.ismethod(it), inspect.isfunction(it), inspect.isroutine(it), callable(it)),
    "awaitable": inspect.isawaitable,
    "file": inspect.getsourcefile,
    "truth": bool,
    "hash": hash,
    "repr": repr,
    "text": str,
    "dir": dir,
    "subclass": lambda it: issubclass(it.__class__, object),
    "weak reference": lambda it: type(weakref.ref(it)),
    "copy": copy.copy,
}


def look(aspect, value):
    """What is to be seen of a value, or the error that looking gives."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # asyncio's question is deprecated, and asked all the same
            return ASPECTS[aspect](value)
    except Exception as error:  # noqa: BLE001 - compared
        return type(error), str(error)


def bare_client(owner):
    """A client that never was connected: no loop, no session, no ping."""
    client = owner.__new__(owner)
    client.session, client.API_KEY, client.API_SECRET, client.testnet = None, "key", "secret", False
    client.tld, client._requests_params, client.PRIVATE_KEY, client.demo = "com", None, None, False
    return client


@contextlib.contextmanager
def through(way, client):
    """The client as a bot has it, by each way of putting the shim in."""
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    with contextlib.ExitStack() as around:
        if way != "wrapped":
            around.enter_context(shim.install())
        yield client if way == "installed" else shim.wrap(client)


def names_of(client):
    """All names but those that Python itself puts on every object and asks of the class."""
    return [name for name in dir(client) if not (name.startswith("__") and hasattr(object, name))]


@OWNERS
@WAYS
@pytest.mark.parametrize("aspect", ASPECTS)
def test_every_attribute_shows_what_it_shows_without(owner, way, aspect):
    """Each attribute of a client looks the same through the shim, whichever way one looks at it."""
    client = bare_client(owner)
    plain = {name: look(aspect, getattr(client, name)) for name in names_of(client)}
    assert len(plain) > 100
    with through(way, client) as used:
        assert names_of(used) == list(plain)
        shown = {name: look(aspect, getattr(used, name)) for name in plain}
    assert {name: (shown[name], plain[name]) for name in plain if shown[name] != plain[name]} == {}


@OWNERS
@WAYS
def test_every_attribute_is_equal_both_ways(owner, way):
    """Equality holds in both directions, and a set takes the two for one."""
    client = bare_client(owner)
    plain = {name: getattr(client, name) for name in names_of(client)}
    with through(way, client) as used:
        for name, own in plain.items():
            shown = getattr(used, name)
            assert hasattr(used, name)
            assert shown == own
            assert own == shown
            assert not (shown != own)  # noqa: SIM202 - its own dunder


@OWNERS
@WAYS
def test_the_client_itself_shows_what_it_shows_without(owner, way):
    """So do the dunders: class, dict, doc, dir, repr, truth, hash, type hints, and what it is not."""
    client = bare_client(owner)
    questions = {
        **{name: ASPECTS[name] for name in ("class", "docstring", "truth", "hash", "repr", "text", "dir")},
        "dict": lambda it: id(vars(it)),
        "size": lambda it: hasattr(it, "__len__") and way == "installed",  # see explanation/limits.md
        "hints": typing.get_type_hints,
        "subclass": lambda it: issubclass(it.__class__, owner),
        "instance": lambda it: isinstance(it, owner),
        "callable": callable,
        "order": lambda it: it < it,  # noqa: PLR0124 - an operator that it lacks
        "sum": lambda it: it + 1,
        "item": lambda it: it["futures_create_order"],
        "call": lambda it: it(),
        "length": len,
        "iterated": iter,
        "format": lambda it: f"{it}",
        "missing": lambda it: it.not_there,
        "default": lambda it: getattr(it, "not_there", 5),
        "members": lambda it: [name for name, _ in inspect.getmembers(it)],
        "matched": lambda it: matched(it, owner),
    }
    ASPECTS_OF_CLIENT = {name: shown_by(question, client) for name, question in questions.items()}  # noqa: N806
    with through(way, client) as used:
        for name, question in questions.items():
            if name in {"sum", "item", "call", "length", "iterated", "order"}:  # the words name the operand
                assert shown_by(question, used)[0] is ASPECTS_OF_CLIENT[name][0], name
            else:
                assert shown_by(question, used) == ASPECTS_OF_CLIENT[name], name


def shown_by(question, value):
    try:
        return question(value)
    except Exception as error:  # noqa: BLE001 - compared
        return type(error), str(error)


def matched(value, owner):
    match value:
        case owner():
            return True
    return False


@OWNERS
@WAYS
def test_every_attribute_can_be_set_deleted_and_patched(owner, way):
    """Through it and beside it: what is set, deleted or mocked is the client's, and is undone."""
    client = bare_client(owner)
    held, sentinel = dict(vars(client)), object()
    with through(way, client) as used:
        for name in [name for name in names_of(client) if name not in held and not name.startswith("__")]:
            setattr(used, name, sentinel)
            assert vars(client)[name] is sentinel
            assert getattr(used, name) is sentinel
            delattr(used, name)
            setattr(client, name, sentinel)
            assert getattr(used, name) is sentinel
            delattr(client, name)
            with mock.patch.object(used, name, sentinel):
                assert getattr(client, name) is getattr(used, name) is sentinel
            with mock.patch.object(owner, name, sentinel):
                assert getattr(client, name) is getattr(used, name) is sentinel
            with pytest.raises(AttributeError):
                delattr(used, name)
            assert vars(client) == held
            if name in DOOR_NAMES:
                assert getattr(used, name).__self__ is client


@WAYS
def test_an_autospec_of_it_is_that_of_the_client(way):
    """mock.patch.object with autospec holds callers to the client's own signatures."""
    client = bare_client(Client)
    with through(way, client) as used:
        for name in (
            "futures_create_order",
            "futures_cancel_order",
            "_request_futures_api",
            "futures_account",
        ):
            with mock.patch.object(used, name, autospec=True):
                method = getattr(used, name)
                with pytest.raises(TypeError):
                    method(1, 2, 3, 4, 5, 6, 7, 8, 9)


@OWNERS
@WAYS
@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its __del__, half copied
def test_a_client_copies_and_pickles_as_it_does_without(owner, way, act):
    """What can be copied or pickled can be through the shim, doors' methods too; they stay attributed."""
    client = bare_client(owner)
    with through(way, client) as used:
        other = act(used)
        assert other.__class__ is owner
        assert vars(other) == vars(client)
        assert exit_shim.unwrap(other) is not client
        method = act(used.futures_create_order)
        assert method.__func__ == client.futures_create_order.__func__
        assert type(method) is type(used.futures_create_order)
    client.tld = threading.Lock()  # as a connected client's loop is
    if act is not copy.copy:
        plain = shown_by(act, client)
        with through(way, client) as used:
            assert shown_by(act, used) == plain


@OWNERS
@WAYS
async def test_contexts_are_what_they_are_without(owner, way):
    """`async with` and `with` work where the client's do, and raise what they raise for it elsewhere."""
    client = bare_client(owner)

    async def close():
        client.closed = True

    if owner is AsyncClient:
        client.close_connection = close

    async def enter(it):
        async with it as inside:
            return inside is it

    def enter_plainly(it):
        with it as inside:
            return inside is it

    async def outcome(it):
        found = []
        for ask in (lambda: enter(it), lambda: asyncio.to_thread(enter_plainly, it)):
            try:
                found.append(await ask())
            except (AttributeError, TypeError):  # noqa: PERF203 - which of them is Python's affair
                found.append("none")
        return found

    plain = await outcome(client)
    with through(way, client) as used:
        assert await outcome(used) == plain


def test_annotations_stay_the_clients():
    """Somebody who asks the shim's own classes for annotations changes nothing for what is inside."""
    used = exit_shim.wrap(bare_client(Client))
    declared = exit_shim.wrap(Placing(), doors=[Door("place_order", parse=reads)])
    for one in (used, used.futures_create_order, declared, declared.place_order):
        assert type(one).__annotations__ is not None
    for aspect in ("annotations", "inspect's annotations", "type hints"):
        assert look(aspect, used) == look(aspect, exit_shim.unwrap(used))
    assert declared.place_order.__annotations__ == {}
    assert not hasattr(declared, "__annotations__") or declared.__annotations__ == {}


@OWNERS
@WAYS
def test_no_client_is_kept_alive(owner, way):
    """Dropped, a client goes at once, methods fetched or not: the shim makes no cycle and keeps none."""
    gc.collect()
    gc.disable()
    try:
        client = bare_client(owner)
        fate = weakref.ref(client)
        with through(way, client) as used:
            methods = [getattr(used, name) for name in names_of(used)]
            del client, used, methods
        assert fate() is None
    finally:
        gc.enable()


class Failing:
    def futures_create_order(self, **params):
        raise ZeroDivisionError


def test_a_failed_order_keeps_no_client_alive():
    """An exception that the bot has dropped holds neither frames nor client."""
    gc.collect()
    gc.disable()
    try:
        client = Failing()
        used, fate = exit_shim.wrap(client), weakref.ref(client)
        with contextlib.suppress(ZeroDivisionError):
            used.futures_create_order(**STOP)
        del client, used
        assert fate() is None
    finally:
        gc.enable()


def test_declared_doors_travel_with_a_pickle(recorded):
    """A pickled proxy, or method of it, is attributed where it arrives by the doors declared for it too."""
    used = exit_shim.wrap(Placing(), doors=[Door("place_order", parse=reads)])
    for other in (pickle.loads(pickle.dumps(used)), copy.copy(used), copy.deepcopy(used)):
        other.place_order("A")
    for method in (pickle.loads(pickle.dumps(used.place_order)), copy.deepcopy(used.place_order)):
        method("B")
    exit_shim.wrap(used, doors=[Door("other")]).place_order("C")
    exit_shim.wrap(used, shim=exit_shim.ExitShim(journal=False)).place_order("D")
    assert [record.intent.order.symbol for record in recorded()] == list("AAABBC")


def test_a_door_that_cannot_travel_stays_behind(recorded, monkeypatch):
    """With a lambda in a declared door the adapter pickles all the same; that is noted, and not recorded."""
    used = exit_shim.wrap(Placing(), doors=[Door("place_order", parse=lambda symbol: {**reads(symbol)})])
    with monkeypatch.context() as patching:
        patching.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
        assert pickle.loads(pickle.dumps(used)).place_order("A") == {}
        assert pickle.loads(pickle.dumps(used.place_order))("A") == {}
    assert recorded() == []
    assert exit_shim.shim.default_shim().internal_errors.count == 2


class Placing:
    def place_order(self, symbol):
        return {}


def reads(symbol):
    return {**STOP, "symbol": symbol}


def test_unwrapping_takes_off_what_wrapping_put_on():
    """What unwrap gives is what wrap was given: another proxy in between is its caller's, and stays."""
    client = FakeClient()
    between = wrapt.ObjectProxy(exit_shim.wrap(client))
    assert exit_shim.unwrap(exit_shim.wrap(exit_shim.wrap(client))) is client
    assert exit_shim.unwrap(exit_shim.wrap(between)) is between
    assert exit_shim.unwrap(between.__wrapped__) is client


@WAYS
async def test_python_binances_managers_take_it(way, async_client):
    """BinanceSocketManager and DepthCacheManager hold the very client that they were given, and use it."""
    plain = vars(BinanceSocketManager(async_client).kline_socket("BTCUSDT"))
    with through(way, async_client) as used:
        manager = BinanceSocketManager(used)
        assert manager._client is used
        shown = vars(manager.kline_socket("BTCUSDT"))
        for name in ("_url", "_path", "_prefix", "_is_binary"):
            assert shown.get(name) == plain.get(name)
        assert (getattr(manager, "futures_user_socket", None) or manager.futures_socket)() is not None
        depth = DepthCacheManager(used, "BTCUSDT")
        assert depth._client is used


def test_a_threaded_manager_makes_covered_clients():
    """ThreadedWebsocketManager takes keys and makes its own client; installed, that one has the doors."""
    if not hasattr(binance, "ThreadedWebsocketManager"):
        pytest.skip("this python-binance has no ThreadedWebsocketManager")
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    with shim.install():
        assert "client" not in inspect.signature(binance.ThreadedWebsocketManager).parameters
        method = bare_client(AsyncClient).futures_create_order
    assert type(method).__name__ == "BoundDoor"
