"""Every shape in which real bots call: modules on disk, real threads and loops, the name that is recorded."""

import asyncio
import concurrent.futures
import contextlib
import gc
import inspect
import json
import multiprocessing.pool
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref
import zipfile

import pytest
from bots import STOP, FakeAsyncClient, FakeClient, load
from repository import ROOT

import exit_shim
from exit_shim import Roles
from exit_shim.attribution.attribute import attribute
from exit_shim.attribution.propagation import carrying_threads
from exit_shim.attribution.stack import SiteFinder
from exit_shim.cli.passthrough import suggest_passthrough
from exit_shim.journal import count_records, read_records

EXECUTOR = """
    import asyncio, concurrent.futures, threading

    def place(client, order):
        return client.futures_create_order(**order)

    def call(function, order):
        return function(**order)

    def retry(function, *args, **kwargs):
        for _ in range(2):
            try:
                return function(*args, **kwargs)
            except ConnectionError:
                pass

    def by_name(client, name, order):
        return getattr(client, name)(**order)

    def two_deep(client, order):
        return by_name(client, "futures_create_order", order)

    async def place_async(client, order):
        return await client.futures_create_order(**order)

    def unnamed(function):
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)
        return wrapper
"""

STRATEGY = """
    import asyncio, backoff, concurrent.futures, functools, tenacity, threading
    import safe_order_executor as helper

    def plain(client, order):
        client.futures_create_order(**order)

    async def off_the_loop(client, order):
        await asyncio.to_thread(client.futures_create_order, **order)

    async def in_executor(client, order):
        call = functools.partial(client.futures_create_order, **order)
        await asyncio.get_running_loop().run_in_executor(None, call)

    def in_pool(client, order):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(client.futures_create_order, **order).result()

    def in_timer(client, order):
        timer = threading.Timer(0, client.futures_create_order, kwargs=order)
        timer.start()
        timer.join()

    def fetch(client):
        return client.futures_create_order

    def partial(client, order):
        helper.call(functools.partial(client.futures_create_order), order)

    def default_argument(client, order):
        calls = [lambda place=client.futures_create_order, order=order: place(**order)]
        helper.retry(calls[0])

    def lambda_in_thread(client, order):
        thread = threading.Thread(target=lambda: client.futures_create_order(**order))
        thread.start()
        thread.join()

    def by_string(client, order):
        helper.by_name(client, "futures_create_order", order)

    def two_helpers(client, order):
        helper.two_deep(client, order)

    def retried(client, order):
        helper.retry(client.futures_create_order, **order)

    @tenacity.retry(stop=tenacity.stop_after_attempt(2))
    def with_tenacity(client, order):
        client.futures_create_order(**order)

    def tenacity_calls_the_method(client, order):
        tenacity.Retrying(stop=tenacity.stop_after_attempt(2))(client.futures_create_order, **order)

    @backoff.on_exception(backoff.expo, ConnectionError, max_tries=2)
    def with_backoff(client, order):
        client.futures_create_order(**order)

    @helper.unnamed
    def undecorated(client, order):
        client.futures_create_order(**order)

    class Nested:
        def __init__(self, client):
            self.client = client

    def client_in_a_client(client, order):
        Nested(Nested(client)).client.client.futures_create_order(**order)

    async def task(client, order):
        await asyncio.create_task(client.futures_create_order(**order))

    async def gathered(client, order):
        made = [client.futures_create_order(**order)]
        await asyncio.gather(*made)

    async def forgotten(client, order):
        task = asyncio.create_task(own(client, order))
        await asyncio.sleep(0.01)

    async def own(client, order):
        await client.futures_create_order(**order)

    async def through_the_helper(client, order):
        await helper.place_async(client, order)

    async def helper_in_gather(client, order):
        await asyncio.gather(own(client, order))

    async def group(client, order):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(own(client, order))
"""


@pytest.fixture
def lines(recorded):
    """What was recorded, as flat lines."""
    return lambda: [record.flat() for record in recorded()]


@pytest.fixture
def strategy(tmp_path, monkeypatch):
    """The bot's module that decides, and the helper that it calls."""
    helper = load(tmp_path, "safe_order_executor", EXECUTOR)
    monkeypatch.setitem(sys.modules, "safe_order_executor", helper)
    return load(tmp_path, "bot.strategy", STRATEGY)


SHAPES = {
    "plain": "stack",
    "in_pool": "bind",
    "in_timer": "bind",
    "partial": "stack",
    "default_argument": "stack",
    "lambda_in_thread": "stack",
    "by_string": "stack",
    "two_helpers": "stack",
    "retried": "stack",
    "with_tenacity": "stack",
    "tenacity_calls_the_method": "stack",
    "with_backoff": "stack",
    "undecorated": "stack",
    "client_in_a_client": "stack",
    "off_the_loop": "bind",
    "in_executor": "bind",
}
ASYNC_SHAPES = ["task", "gathered", "forgotten", "through_the_helper", "helper_in_gather", "group"]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_a_call(shape, strategy, lines):
    """However the module has its order placed, the record names it, and says on what that rests."""
    done = getattr(strategy, shape)(exit_shim.wrap(FakeClient()), STOP)
    if asyncio.iscoroutine(done):
        asyncio.run(done)
    (line,) = lines()
    assert (line["module"], line["dotted_module"]) == ("strategy", "bot.strategy")
    if sys.version_info >= (3, 11):  # before, a lambda does not know whose it is
        assert shape in line["function"]
    assert line["evidence"] == SHAPES[shape]
    assert [step["part"] for step in line["chain"]].count("chosen") == 1


@pytest.mark.parametrize("shape", ASYNC_SHAPES)
def test_every_shape_of_a_coroutine(shape, strategy, lines):
    """Tasks, groups and gathered coroutines are the module's whose code called the client."""
    if shape == "group" and sys.version_info < (3, 11):
        pytest.skip("asyncio.TaskGroup is Python 3.11's")
    asyncio.run(getattr(strategy, shape)(exit_shim.wrap(FakeAsyncClient()), STOP))
    assert [(line["module"], line["evidence"]) for line in lines()] == [("strategy", "stack")]


def test_the_chain_of_a_call(strategy, lines):
    """Executors in the order passed, libraries by their package, who asked, and who led there."""
    strategy.two_helpers(exit_shim.wrap(FakeClient()), STOP)
    strategy.tenacity_calls_the_method(exit_shim.wrap(FakeClient()), STOP)
    deep, retried = lines()
    assert [(step["module"], step["part"], step["function"]) for step in deep["chain"][:4]] == [
        ("safe_order_executor", "passthrough", "by_name"),
        ("safe_order_executor", "passthrough", "two_deep"),
        ("bot.strategy", "chosen", "two_helpers"),
        ("test_callers", "outer", "test_the_chain_of_a_call"),
    ]
    assert deep["chain"][2]["line"] == deep["line"]
    assert [(step["module"], step["part"]) for step in retried["chain"][:2]] == [
        ("tenacity", "skipped"),
        ("bot.strategy", "chosen"),
    ]


@pytest.mark.parametrize("error", [None, ValueError("refused")])
def test_what_led_to_who_asked_follows_with_the_outcome(strategy, recorded, error):
    """The submission's chain ends at who asked; what lies behind comes with the outcome, whatever that is."""

    class Client:
        def futures_create_order(self, **params):
            if error:
                raise error

    with contextlib.suppress(ValueError):
        strategy.two_helpers(exit_shim.wrap(Client()), STOP)
    (record,) = recorded()
    assert [step.part for step in record.intent.attribution.chain] == ["passthrough", "passthrough", "chosen"]
    assert record.outcome.chain[0].module == "test_callers"
    assert {step.part for step in record.outcome.chain} == {"outer"}
    assert record.chain == record.intent.attribution.chain + record.outcome.chain


def test_the_frames_of_a_call_are_let_go():
    """Once a call has returned, raised, or given a future, nothing of ours holds its caller's locals."""

    class Heavy:
        pass

    class Client:
        def futures_create_order(self, **params):
            return params["act"]()

    wrapped, loop = exit_shim.wrap(Client()), asyncio.new_event_loop()
    pending = loop.create_future()

    def fail():
        raise ValueError

    def call(act):
        heavy = Heavy()
        fates.append(weakref.ref(heavy))
        with contextlib.suppress(ValueError):
            wrapped.futures_create_order(act=act, **STOP)

    fates = []
    gc.collect()
    gc.disable()
    try:
        for act in (dict, fail, lambda: pending):
            call(act)
        assert [fate() for fate in fates] == [None, None, None]
    finally:
        gc.enable()
        loop.close()


def test_an_edited_function_is_told_by_its_own_lines(tmp_path, lines):
    """A place is known by its code: a function that replaces another of the same name and file is another."""
    for blank in (0, 3):
        text = "\n" * blank + "def place(client, order): client.futures_create_order(**order)\n"
        names = {"__name__": "bot.edited"}
        exec(compile(text, str(tmp_path / "edited.py"), "exec"), names)
        for _ in range(2):
            names["place"](exit_shim.wrap(FakeClient()), STOP)
    assert [line["line"] for line in lines()] == [1, 1, 4, 4]


def test_one_code_under_two_names(lines):
    """The same code object run as two modules is told by the name that it ran under."""
    code = compile("client.futures_create_order(**STOP)", "<string>", "exec")
    for name in ("bot.one", "bot.two", "bot.one"):
        exec(code, {"__name__": name, "client": exit_shim.wrap(FakeClient()), "STOP": STOP})
    assert [line["module"] for line in lines()] == ["one", "two", "one"]


def test_a_chain_is_bounded(tmp_path, lines):
    """However deep the bot is, sixteen frames are kept, who asked among them."""
    deep = """
        def down(client, order, left):
            return down(client, order, left - 1) if left else client.futures_create_order(**order)
    """
    load(tmp_path, "bot.deep", deep).down(exit_shim.wrap(FakeClient()), STOP, 200)
    load(tmp_path, "safe_order_executor", deep).down(exit_shim.wrap(FakeClient()), STOP, 200)
    own, executor = lines()
    assert [len(line["chain"]) for line in (own, executor)] == [16, 16]
    assert own["chain"][0]["part"] == executor["chain"][-1]["part"] == "chosen"
    assert executor["module"] == "test_callers"


LAYERS = """
    class Adapter:
        def __init__(self, client):
            self.client = client

        def futures_create_order(self, **order):
            return self.client.futures_create_order(**order)
"""


def test_an_adapter_whose_method_has_the_doors_name(tmp_path, strategy, lines):
    """It is a layer around the client: passed through and told in via; the caller is who asked."""
    adapter = load(tmp_path, "bot.adapter", LAYERS).Adapter(exit_shim.wrap(FakeClient()))
    strategy.plain(adapter, STOP)
    (line,) = lines()
    assert (line["module"], line["via"]) == ("strategy", ("adapter",))
    assert line["chain"][0] == {
        "module": "bot.adapter",
        "part": "layer",
        "function": "Adapter.futures_create_order" if sys.version_info >= (3, 11) else "futures_create_order",
        "line": 7,
    }


TRADER = """
    from binance.client import Client

    class Trader(Client):
        def futures_create_order(self, **order):
            return super().futures_create_order(**order)
"""


@pytest.mark.parametrize("how", ["wrapped", "installed"])
def test_a_subclass_that_overrides_a_door(how, client, tmp_path, strategy, lines):
    """Its method is the client's or a layer; either way the caller is who asked, once."""
    trader_class = load(tmp_path, "bot.trader", TRADER).Trader
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    client.__class__ = trader_class
    order = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 0.001, "reduceOnly": True}
    if how == "wrapped":
        strategy.plain(exit_shim.wrap(client), order)
    else:
        with exit_shim.shim.default_shim().install():
            strategy.plain(client, order)
    (line,) = lines()
    assert (line["module"], line["outcome"]) == ("strategy", "accepted")
    assert line["via"] == (() if how == "wrapped" else ("trader",))


def test_callbacks_of_a_threaded_websocket_manager(exchange, tmp_path, lines):
    """On the manager's thread and loop, the callback's module is who asked."""
    from binance.ws.streams import ThreadedWebsocketManager  # noqa: PLC0415 - heavy

    source = """
        def on_message(client, order, done):
            def callback(message):
                client.futures_create_order(**order)
                done.set()
            return callback
    """

    class Messages:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *error):
            return None

        async def recv(self):
            await asyncio.sleep(0.01)
            manager._socket_running["path"] = False
            return {"e": "kline"}

    done = threading.Event()
    loop = asyncio.new_event_loop()
    manager = ThreadedWebsocketManager("local-key", "local-secret", loop=loop)
    callback = load(tmp_path, "bot.listener", source).on_message(exit_shim.wrap(FakeClient()), STOP, done)
    manager._socket_running["path"] = True
    manager.start()
    asyncio.run_coroutine_threadsafe(manager.start_listener(Messages(), "path", callback), loop).result(60)
    manager.stop()
    manager.join(60)
    # `stop` closes no client that is still being made, nor one that takes longer than it waits.
    loop.run_until_complete(manager.stop_client())
    loop.close()
    assert done.is_set()
    (line,) = lines()
    assert (line["module"], line["evidence"]) == ("listener", "stack")


async def test_an_asyncio_protocol(tmp_path, lines):
    """data_received, called by the loop itself, is who asked."""
    source = """
        import asyncio
        class Feed(asyncio.Protocol):
            def __init__(self, client, order, done):
                self.todo = client, order, done
            def data_received(self, data):
                client, order, done = self.todo
                client.futures_create_order(**order)
                done.set()
    """

    def serve(_reader, writer):
        writer.write(b"x")
        writer.close()

    done = asyncio.Event()
    feed = load(tmp_path, "bot.feed", source).Feed(exit_shim.wrap(FakeClient()), STOP, done)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: feed, "127.0.0.1", port)
    await asyncio.wait_for(done.wait(), 60)
    transport.close()
    server.close()
    (line,) = lines()
    assert (line["module"], line["function"].split(".")[-1]) == ("feed", "data_received")


def cell(filename, names=None):
    """Run a text as IPython and others do: compiled under a name of its own, in given globals."""
    own = {"client": exit_shim.wrap(FakeClient()), "order": STOP, **(names or {})}
    exec(compile("client.futures_create_order(**order)", filename, "exec"), own)


@pytest.mark.parametrize(
    ("filename", "names", "module"),
    [
        ("<ipython-input-3-abc>", {"__name__": "__main__"}, "notebook"),
        ("/tmp/ipykernel_123/456.py", {"__name__": "__main__"}, "notebook"),
        (
            "/tmp/ipykernel_123/456.py",
            {"__name__": "__main__", "__vsc_ipynb_file__": "/w/exits.ipynb"},
            "exits",
        ),
        ("<string>", {"__name__": "__main__", "__file__": "/bot/trailing.py"}, "trailing"),
        ("<string>", {"__name__": "bot.trailing"}, "trailing"),
        ("<string>", {}, "test_callers"),
        (
            "<string>",
            {"__name__": "tenacity.x", "__file__": "/v/site-packages/tenacity/x.py"},
            "test_callers",
        ),
        ("/apps/bot.zip/bot/monitor.py", {"__name__": "bot.monitor"}, "monitor"),
        ("bot/monitor.py", {"__name__": "bot.monitor"}, "monitor"),
        ("<frozen bot.monitor>", {"__name__": "bot.monitor"}, "monitor"),
        ("threading.py", {"__name__": "threading"}, "test_callers"),
        ("tenacity/__init__.py", {"__name__": "tenacity"}, "test_callers"),
        ("/apps/beside/binance/client.py", {"__name__": "binance.client"}, "test_callers"),
        ("/bot/trailing.py", {"__name__": "__mp_main__"}, "trailing"),
    ],
)
def test_code_without_a_file_of_its_own(filename, names, module, lines, monkeypatch):
    """Notebooks, executed texts, frozen and zipped apps: the bot's by its name, libraries skipped."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    cell(filename, names)
    assert [line["module"] for line in lines()] == [module]


def test_a_notebook_under_jupyter(monkeypatch, lines):
    """Jupyter tells its kernels the notebook's path."""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/trailing stops.ipynb")
    cell("<ipython-input-1-x>", {"__name__": "__main__"})
    assert [line["module"] for line in lines()] == ["trailing stops"]


PROGRAM = """
    import exit_shim
    class Fake:
        def futures_create_order(self, **p): return {'orderId': 1}
    exit_shim.wrap(Fake()).futures_create_order(closePosition=True)
"""


def run(folder, *command, **environment):
    """Run a program with a journal of its own; its records as flat lines."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**os.environ, **environment, "EXIT_SHIM_JOURNAL": str(folder / "journal.db")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [record.flat() for record in read_records(folder / "journal.db")]


def test_a_zipped_app(tmp_path):
    """The modules of an app that runs from a zip file are the bot's own."""
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as zipped:
        zipped.writestr("__main__.py", "import trader.monitor")
        zipped.writestr("trader/__init__.py", "")
        zipped.writestr("trader/monitor.py", textwrap.dedent(PROGRAM))
    (line,) = run(tmp_path, "app.pyz")
    assert (line["module"], line["function"]) == ("monitor", "<module>")
    assert [step["module"] for step in line["chain"] if step["part"] == "outer"] == ["app.pyz"]


def test_a_bot_among_the_installed_packages(tmp_path):
    """What a pattern of in_app names is the bot's own wherever it lies; not_in_app outranks it."""
    finder = SiteFinder(in_app=("trader", "*/strategies/*"), not_in_app=("trader.vendor.*",))
    found = {}
    for name, folder in {
        "trader.risk": "site-packages/trader",
        "trader.vendor.http": "site-packages/trader/vendor",
        "other.exits": "site-packages/other/strategies",
        "traders": "site-packages",
    }.items():
        names = {"__name__": name, "sys": sys, "finder": finder, "attribute": attribute}
        text = "who, _ = attribute(finder, sys._getframe(), None)"
        exec(compile(text, str(tmp_path / folder / f"{name}.py"), "exec"), names)
        found[name] = names["who"].module
    assert found == {
        "trader.risk": "risk",
        "trader.vendor.http": "test_callers",
        "other.exits": "exits",
        "traders": "test_callers",
    }


def test_aliases_and_executors_by_any_name(tmp_path, recorded):
    """A module is recorded under its alias, and an executor is one by its short, dotted or recorded name."""
    roles = Roles(
        aliases={"bot.pm2": "position_monitor", "sender": "muscle"}, passthrough=frozenset({"muscle"})
    )
    shim = exit_shim.ExitShim(roles=roles)
    source = """
        def place(call, **given):
            return call(given["call_with"], **given["order"]) if "order" in given else call(**given)
    """
    monitor, sender = (load(tmp_path, name, source) for name in ("bot.pm2", "bot.sender"))
    monitor.place(sender.place, order=STOP, call_with=shim.wrap(FakeClient()).futures_create_order)
    shim.close()
    (line,) = [record.flat() for record in recorded()]
    assert (line["module"], line["dotted_module"]) == ("position_monitor", "bot.pm2")
    assert line["via"] == ("muscle",)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            {"passthrough": "safe_order_executor"},
            TypeError,
            "passthrough='safe_order_executor' must be a collection",
        ),
        ({"in_app": "trader"}, TypeError, "in_app='trader' must be a collection of names"),
        ({"not_in_app": [None]}, TypeError, "not_in_app has None, which must be a module's name as text"),
        ({"owners": [" "]}, ValueError, "owners has ' '; a name cannot be empty"),
        ({"aliases": ["pm2"]}, TypeError, "aliases=.'pm2'. must map a module's name"),
        ({"aliases": {"pm2": 5}}, TypeError, "aliases has 5"),
    ],
)
def test_wrong_roles_are_told_at_once(given, error, said):
    """A text where names are due is refused, with what was meant, and not read letter by letter."""
    with pytest.raises(error, match=said):
        Roles(**given)


def test_roles_take_any_collection():
    """Lists and tuples of names do as well as sets."""
    assert Roles(passthrough=["a", "a"], in_app=["b"]).passthrough == frozenset({"a"})


MULTI = """
    import multiprocessing, sys
    import exit_shim

    class Fake:
        def futures_create_order(self, **p): return {'orderId': 1}

    def work(client):
        client.futures_create_order(closePosition=True)

    if __name__ == "__main__":
        client = exit_shim.wrap(Fake())
        client.futures_create_order(closePosition=True)
        context = multiprocessing.get_context(sys.argv[1])
        method = client.futures_create_order
        for process in (
            context.Process(target=work, args=(client,)),
            context.Process(target=method, kwargs={"closePosition": True}),
        ):
            process.start()
            process.join()
            assert process.exitcode == 0
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_other_processes(tmp_path, method):
    """The proxy and its methods work on the other side, each process with a run id of its own."""
    (tmp_path / "bot.py").write_text(textwrap.dedent(MULTI))
    lines = run(tmp_path, "bot.py", method)
    assert [line["module"] for line in lines] == ["bot"] * 3
    last = "stack" if method == "fork" else "bind"  # a forked process has its parent's frames
    assert [line["evidence"] for line in lines] == ["stack", "stack", last]
    assert len({line["run_id"] for line in lines}) == 3


AS_IN_314 = """
    from multiprocessing import forkserver, util

    spawn = util.spawnv_passfds
    if __name__ == "__main__":
        util.spawnv_passfds = lambda exe, args, fds: spawn(exe, [*args[:-1], "import sys; " + args[-1]], fds)
"""


def test_a_forkserver_as_python_3_14_starts_it(tmp_path):
    """Its command line begins with another import; it is no module of the bot's all the same."""
    (tmp_path / "bot.py").write_text(textwrap.dedent(AS_IN_314) + textwrap.dedent(MULTI))
    lines = run(tmp_path, "bot.py", "forkserver")
    assert [(line["module"], line["evidence"]) for line in lines] == [
        ("bot", "stack"),
        ("bot", "stack"),
        ("bot", "bind"),
    ]


def test_a_pickled_method_remembers_who_fetched_it(strategy, lines):
    """Where it is called with no frame of the bot, the name is that of the fetch."""
    method = pickle.loads(pickle.dumps(strategy.fetch(exit_shim.wrap(FakeClient()))))
    thread = threading.Thread(target=method, kwargs=STOP)
    thread.start()
    thread.join()
    (line,) = lines()
    assert (line["module"], line["function"], line["evidence"]) == ("strategy", "fetch", "bind")


CARRYING = """
    import exit_shim, safe_order_executor as helper, threading

    def by_pool(pool, client, order):
        pool.submit(exit_shim.carry(helper.place), client, order).result()

    def by_patch(pool, client, order):
        pool.submit(helper.place, client, order).result()

    def by_timer(client, order):
        timer = threading.Timer(0, helper.place, (client, order))
        timer.start()
        timer.join()

    async def by_task(client, order):
        import asyncio
        await asyncio.create_task(exit_shim.carry(helper.place_async)(client, order))
"""


@pytest.fixture
def carrier(tmp_path, strategy):
    """A module that hands its work on."""
    return load(tmp_path, "bot.carrier", CARRYING)


def test_carry(carrier, lines):
    """An executor's function in a pool is the module's that handed it over; without carry it is unknown."""
    client = exit_shim.wrap(FakeClient())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        carrier.by_pool(pool, client, STOP)
        carrier.by_patch(pool, client, STOP)
    carried, lost = lines()
    assert (carried["module"], carried["function"], carried["evidence"]) == ("carrier", "by_pool", "carried")
    assert carried["via"] == lost["via"] == ("safe_order_executor",)
    assert [step["part"] for step in carried["chain"]].count("chosen") == 1
    assert (lost["module"], lost["evidence"]) == ("unknown", "unknown")


async def test_carry_a_coroutine_function(carrier, lines):
    """A task of an executor's coroutine is the module's that made it; signature and kind stay."""
    await carrier.by_task(exit_shim.wrap(FakeAsyncClient()), STOP)
    carried = exit_shim.carry(carrier.by_task)
    assert inspect.iscoroutinefunction(carried)
    assert carried.__name__ == "by_task"
    assert [(line["module"], line["evidence"]) for line in lines()] == [("carrier", "carried")]


def test_carry_takes_along_what_is_declared(lines):
    """attributed() around carry holds in the pool; one inside the function outranks it."""
    client = exit_shim.wrap(FakeClient())

    def inner():
        client.futures_create_order(**STOP)
        with exit_shim.attributed("inner"):
            client.futures_create_order(**STOP)

    with exit_shim.attributed("brain"):
        carried = exit_shim.carry(inner)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(carried).result()
        pool.submit(client.futures_create_order, **STOP).result()
    assert [line["module"] for line in lines()] == ["brain", "inner", "test_callers"]


def test_carrying_threads(carrier, lines):
    """Inside, pools and timers carry by themselves; after, Thread and the pool are what they were."""
    client = exit_shim.wrap(FakeClient())
    start, submit = threading.Thread.start, concurrent.futures.ThreadPoolExecutor.submit
    with carrying_threads(), concurrent.futures.ThreadPoolExecutor(1) as pool:
        carrier.by_patch(pool, client, STOP)
        carrier.by_timer(client, STOP)
    assert (threading.Thread.start, concurrent.futures.ThreadPoolExecutor.submit) == (start, submit)
    assert [(line["module"], line["function"], line["evidence"]) for line in lines()] == [
        ("carrier", "by_patch", "carried"),
        ("carrier", "by_timer", "carried"),
    ]


POOLING = """
    import asyncio, concurrent.futures, contextvars, functools, multiprocessing.pool
    import safe_order_executor as helper

    def by_pools_map(client, order):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            list(pool.map(functools.partial(helper.place, client), [order]))

    def by_context(client, order):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, helper.place, client, order).result()

    async def by_to_thread(client, order):
        await asyncio.to_thread(helper.place, client, order)

    async def by_run_in_executor(client, order):
        await asyncio.get_running_loop().run_in_executor(None, helper.place, client, order)

    def by_apply(client, order):
        in_thread_pool("apply", helper.place, (client, order))

    def by_apply_async(client, order):
        in_thread_pool("apply_async", helper.place, (client, order))

    def by_map(client, order):
        in_thread_pool("map", functools.partial(helper.place, client), [order])

    def by_map_async(client, order):
        in_thread_pool("map_async", functools.partial(helper.place, client), [order])

    def by_starmap(client, order):
        in_thread_pool("starmap", helper.place, [(client, order)])

    def by_starmap_async(client, order):
        in_thread_pool("starmap_async", helper.place, [(client, order)])

    def by_imap(client, order):
        in_thread_pool("imap", functools.partial(helper.place, client), [order])

    def by_imap_unordered(client, order):
        in_thread_pool("imap_unordered", functools.partial(helper.place, client), [order])

    def by_keyword(client, order):
        with multiprocessing.pool.ThreadPool(1) as pool:
            pool.apply_async(func=helper.place, args=(client, order)).get()

    def in_thread_pool(method, *given):
        with multiprocessing.pool.ThreadPool(1) as pool:
            answer = getattr(pool, method)(*given)
            if method.endswith("_async"):
                answer.get()
            elif method.startswith("imap"):
                list(answer)
"""
POOLED = [line.split("(")[0].split()[-1] for line in POOLING.splitlines() if "def by_" in line]


@pytest.mark.parametrize(
    ("way", "loops"),
    [*((way, "asyncio") for way in POOLED), ("by_to_thread", "uvloop"), ("by_run_in_executor", "uvloop")],
)
def test_every_way_into_a_pool_of_threads(way, loops, tmp_path, strategy, lines):
    """With `install(threads=True)` the work of an executor is the module's that handed it over."""
    module = load(tmp_path, "bot.pooling", POOLING)
    client = exit_shim.wrap(FakeClient())
    before = {**vars(multiprocessing.pool.ThreadPool)}
    with exit_shim.install(threads=True):
        done = getattr(module, way)(client, STOP)
        if asyncio.iscoroutine(done):
            loop = pytest.importorskip(loops).new_event_loop()
            loop.run_until_complete(done)
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
    (line,) = lines()
    assert (line["module"], line["evidence"]) == ("pooling", "carried")
    assert line["via"] == ("safe_order_executor",)
    assert vars(multiprocessing.pool.ThreadPool) == before


def test_pools_of_processes_are_left_alone():
    """What goes to another process must be picklable: nothing is put around it."""
    apply_async = multiprocessing.pool.Pool.apply_async
    with carrying_threads():
        assert multiprocessing.pool.Pool.apply_async is apply_async
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.map(abs, [-1]) == [1]


def test_a_thread_that_cannot_start_is_as_it_was():
    """A second start raises what it raises, and leaves no trace on the thread."""
    thread = threading.Thread(target=lambda: None)
    with carrying_threads():
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="once"):
            thread.start()
    assert "run" not in vars(thread)


def test_a_loop_on_a_carrying_thread_asked_for_nothing(carrier, lines):
    """Tasks made on a loop are not put down to whoever started the loop's thread."""
    client, helper = exit_shim.wrap(FakeAsyncClient()), sys.modules["safe_order_executor"]

    async def main():
        await asyncio.create_task(helper.place_async(client, STOP))

    with carrying_threads():
        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        thread.join()
    (line,) = lines()
    assert (line["module"], line["via"]) == ("unknown", ("safe_order_executor",))


def test_a_pools_threads_belong_to_nobody(carrier, lines):
    """Whoever had a pool start its thread is not who hands it work later."""
    client = exit_shim.wrap(FakeClient())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with carrying_threads():
            carrier.by_patch(pool, client, STOP)
        carrier.by_patch(pool, client, STOP)
    assert [line["module"] for line in lines()] == ["carrier", "unknown"]


def test_texts_of_one_name_are_told_apart(lines):
    """Two executed texts that are both called <string> belong to their own modules."""
    cell("<string>", {"__name__": "bot.one"})
    cell("<string>", {"__name__": "bot.two"})
    assert [line["module"] for line in lines()] == ["one", "two"]


def test_the_frames_of_a_library_in_a_row_are_told_once(strategy, lines):
    """A timer's three frames of threading are one step."""
    strategy.in_timer(exit_shim.wrap(FakeClient()), STOP)
    (line,) = lines()
    assert [(step["module"], step["part"]) for step in line["chain"]] == [
        ("threading", "skipped"),
        ("bot.strategy", "chosen"),
    ]


def suggested(lines_of):
    """Return the suggested passthrough modules of what was recorded."""
    return [suggestion.module for suggestion in suggest_passthrough(count_records(lines_of())[1])]


def test_suggested_passthrough_modules(tmp_path, recorded):
    """Between two modules and a door every time: suggested; a module that also acts alone is not."""
    source = """
        def place(client, order, *through):
            if through:
                return through[0].place(client, order, *through[1:])
            return client.futures_create_order(**order)
    """
    shim = exit_shim.shim.default_shim()
    sender, one, two, alone = (
        load(tmp_path, f"bot.{name}", source) for name in ("sender", "one", "two", "alone")
    )
    client = shim.wrap(FakeClient())
    one.place(client, STOP, sender)
    assert suggested(recorded) == []
    two.place(client, STOP, sender)
    alone.place(client, STOP)
    assert suggested(recorded) == ["sender"]
    owner = load(tmp_path, "bot.position_monitor", source)  # declared legacy: it decides for itself
    one.place(client, STOP, owner)
    two.place(client, STOP, owner)
    assert suggested(recorded) == ["sender"]
    thread = threading.Thread(target=sender.place, args=(client, STOP))
    thread.start()
    thread.join()
    assert suggested(recorded) == []


BARE_BOT = """
    import runpy, sys
    import exit_shim
    from exit_shim.testing import LocalExchange, WalkingMarket
    from exit_shim.testing.redirect import redirect_clients

    exchange = LocalExchange(market=WalkingMarket(seed=1))
    with exchange, redirect_clients(exchange.url, exchange.register):
        with exit_shim.ExitShim(roles=exit_shim.Roles(passthrough=frozenset())).install():
            sys.path[0] = sys.argv[1].rpartition("/")[0]
            runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_the_example_bot_would_suggest_its_one_executor(tmp_path):
    """Without any configuration, safe_order_executor is suggested and nothing else; explain tells why."""
    (tmp_path / "driver.py").write_text(textwrap.dedent(BARE_BOT))
    bot = str(ROOT / "examples/legacy_bot/main.py")
    lines = run(tmp_path, "driver.py", bot)
    assert suggested(lambda: read_records(tmp_path / "journal.db")) == ["safe_order_executor"]
    place = next(line for line in lines if line["module"] == "safe_order_executor" and line["algo_id"])
    cancel = next(line for line in lines if line["operation"] == "cancel" and line["targets"])
    told = explain(tmp_path, place["algo_id"])
    for part in (
        f"placed {place['kind']} {place['symbol']}",
        f"safe_order_executor.py:{place['line']}",
        "evidence  stack: the first frame",
        "hybrid_tpsl",
        "verdict   allow in LEGACY",
        f"outcome   accepted, algo id {place['algo_id']}",
    ):
        assert part in told
    assert "cancelled" in explain(tmp_path, f"{cancel['run_id']}:{cancel['seq']}")
    assert "placed by" in explain(tmp_path, f"{cancel['run_id']}:{cancel['seq']}")
    printed = [
        json.loads(line) for line in explain(tmp_path, place["client_order_id"], "--json").splitlines()
    ]
    assert printed[0]["chain"] == place["chain"]
    assert "no record matches 'nothing'" in explain(tmp_path, "nothing")
    summary = command(tmp_path, "summary")
    assert "safe_order_executor looks like a passthrough module" in summary
    assert "Roles(passthrough=Roles().passthrough | {'safe_order_executor'})" in summary


def command(folder, *arguments):
    """What a command prints, its errors included."""
    return subprocess.run(
        [sys.executable, "-m", "exit_shim", *map(str, arguments)],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(folder / "journal.db")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    ).stdout


def explain(folder, order, *options):
    """What `exit-shim explain` prints of an order."""
    return command(folder, "explain", order, *options)
