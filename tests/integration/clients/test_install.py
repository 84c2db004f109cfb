"""The doors on python-binance's own classes: every client there is, and exactly undone."""

import _thread
import contextlib
import copy
import inspect
import operator
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from binance import AsyncClient, Client
from bots import STOP

import exit_shim
from exit_shim.clients.import_hook import ImportWatcher
from exit_shim.clients.python_binance_doors import DOORS
from exit_shim.domain.doors import Door
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

CLASSES = tuple(dict.fromkeys((*Client.__mro__, *AsyncClient.__mro__)))
DISARMED = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "reduceOnly": True}


def held():
    """What every class holds now, by name and in order."""
    return [list(vars(owner).items()) for owner in CLASSES]


def is_installed():
    return type(vars(Client)["futures_create_order"]) is not type(held)


@pytest.fixture(autouse=True)
def exactly_undone():
    """Whatever a test does, uninstalling puts back the very objects in their order, and the import system."""
    before, finders = held(), list(sys.meta_path)
    yield
    exit_shim.uninstall()
    after = held()
    assert [[name for name, _ in own] for own in after] == [[name for name, _ in own] for own in before]
    assert all(
        one is other
        for own, then in zip(before, after, strict=True)
        for (_, one), (_, other) in zip(own, then, strict=True)
    )
    assert sys.meta_path == finders


@contextlib.contextmanager
def made(owner=Client):
    """A genuine sync client, made here and closed after."""
    client = owner(LOCAL_KEY, LOCAL_SECRET)
    try:
        yield client
    finally:
        close_client(client)


def place(client):
    """An order that no exchange accepts, as a bot places it."""
    with contextlib.suppress(Exception):
        client.futures_create_order(**STOP)


def run_python(code, **environment):
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        env={**__import__("os").environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


class Trader(Client):
    """A bot that is a client."""

    def protect(self):
        return self.futures_create_order(**STOP)


def test_clients_of_every_origin_are_seen(exchange, client, recorded):
    """Made before or after, in a constructor, per call, in a thread, or by a subclass: all are seen."""

    class Bot:
        def __init__(self):
            self.around = made()
            self.client = self.around.__enter__()

    def in_a_thread():
        with made() as own:
            place(own)

    exit_shim.install()
    place(client)
    bot = Bot()
    place(bot.client)
    bot.around.__exit__(None, None, None)
    with made() as per_call:
        place(per_call)
    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    with made(Trader) as trader, contextlib.suppress(Exception):
        trader.protect()
    assert [record.intent.attribution.function.rpartition(".")[2] for record in recorded()] == [
        "place",
        "place",
        "place",
        "place",
        "protect",
    ]


async def test_an_async_client_is_seen(exchange, async_client, recorded):
    """AsyncClient's doors are on too; what they return is awaited as before."""
    with exit_shim.install(), contextlib.suppress(Exception):
        await async_client.futures_create_order(**STOP)
    with contextlib.suppress(Exception):
        await async_client.futures_create_order(**STOP)
    assert len(recorded()) == 1


def test_installing_twice_is_installing_once(exchange, client, recorded):
    """A second install changes nothing, and one uninstall ends both."""
    exit_shim.install()
    once = held()
    exit_shim.install()
    assert all(x is y for a, b in zip(once, held(), strict=True) for (_, x), (_, y) in zip(a, b, strict=True))
    place(client)
    assert len(recorded()) == 1
    exit_shim.uninstall()
    assert not is_installed()
    exit_shim.uninstall()


def test_blocks_are_counted():
    """Inside nested blocks the doors are on until the outermost ends, also when it ends by an exception."""
    with contextlib.suppress(KeyError), exit_shim.install():
        with exit_shim.install():
            pass
        assert is_installed()
        raise KeyError
    assert not is_installed()
    exit_shim.install()
    with exit_shim.install():
        pass
    assert is_installed()


def test_uninstalling_inside_a_block_ends_it():
    """After uninstall() the end of the block has nothing left to do, and takes no later install off."""
    with exit_shim.install():
        exit_shim.uninstall()
        assert not is_installed()
        exit_shim.install()
    assert is_installed()


def test_of_two_shims_the_latest_is_in_force(exchange, client):
    """An inner block's shim gets the orders, once each, and the outer one has its turn again after it."""
    outer, inner = (exit_shim.ExitShim(journal=False, sinks=[]) for _ in range(2))
    with outer.install() as given:
        assert given is outer
        with exit_shim.install(shim=inner), outer.install(), inner.install():
            place(client)
        place(client)
        place(client)
    assert [shim.metrics.get_summary()["total_orders"] for shim in (outer, inner)] == [2, 1]


def test_blocks_that_end_out_of_turn():
    """Blocks of several shims may end in any order; the doors are off when the last has."""
    shims = [exit_shim.ExitShim(journal=False, sinks=[]) for _ in range(3)]
    blocks = [shim.install() for shim in shims]
    for block in (blocks[1], blocks[0], blocks[0], blocks[2]):
        assert is_installed()
        block.__exit__(None, None, None)
    assert not is_installed()


def test_many_threads_install_and_uninstall(exchange, client):
    """From many threads at once nothing is doubled and nothing is left behind."""
    together = threading.Barrier(8)

    def often(_):
        together.wait()
        for _ in range(10):
            with exit_shim.install():
                assert is_installed()
                function = vars(Client)["futures_create_order"].__wrapped__
                assert type(function) is type(held)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(often, range(8)))
    assert not is_installed()


def test_disabled_it_does_nothing(monkeypatch):
    """With EXIT_SHIM_DISABLED=1 the classes stay as they are, in a block as without."""
    monkeypatch.setenv("EXIT_SHIM_DISABLED", "1")
    exit_shim.install()
    with exit_shim.install() as shim:
        assert isinstance(shim, exit_shim.ExitShim)
        assert not is_installed()


def test_a_method_kept_beyond_the_uninstall_is_the_clients_again(exchange, client, recorded):
    """Functions fetched from the class, and mocks that put them back later, are plain once it is over."""
    plain = vars(Client)["futures_create_order"]
    exit_shim.install()
    kept = Client.futures_create_order
    with mock.patch.object(Client, "futures_create_order", return_value="patched"):
        assert client.futures_create_order(**STOP) == "patched"
        exit_shim.uninstall()
        assert client.futures_create_order(**STOP) == "patched"
    with contextlib.suppress(Exception):
        kept(client, **STOP)
    place(client)
    assert recorded() == []
    assert vars(Client)["futures_create_order"] is kept
    with exit_shim.install():
        place(client)
    assert len(recorded()) == 1
    assert vars(Client)["futures_create_order"] is plain


def test_a_class_that_is_patched_with_a_mock_stays_patched(exchange, client, recorded):
    """A mock where a door would be is called as the bot's tests expect, without a `self`."""
    with mock.patch.object(Client, "futures_create_order") as mocked:
        with exit_shim.install():
            client.futures_create_order(**STOP)
        mocked.assert_called_once_with(**STOP)


def test_doors_of_the_bots_own_classes(recorded):
    """An adapter's class is installed on by declaration, inherited methods included, and undone."""

    class Base:
        def place_order(self, symbol, at):
            return {"orderId": 7}

    class Adapter(Base):
        pass

    def reads(symbol, at):
        return {**STOP, "symbol": symbol, "stopPrice": at}

    plain = vars(Base)["place_order"]
    with exit_shim.install(doors={Adapter: [Door("place_order", parse=reads), Door("not_there")]}):
        assert Adapter().place_order("ETHUSDT", 1) == {"orderId": 7}
    Adapter().place_order("ETHUSDT", 1)
    assert [record.intent.order.symbol for record in recorded()] == ["ETHUSDT"]
    assert vars(Base)["place_order"] is plain


def test_threads_carry_who_asked_where_that_is_wanted(exchange, client, recorded):
    """With threads=True what pools and threads call is attributed to who handed it over; undone after."""
    start = threading.Thread.start
    with exit_shim.install(threads=True), exit_shim.install(), ThreadPoolExecutor(1) as pool:
        assert threading.Thread.start is not start
        with exit_shim.attributed("trailing"), contextlib.suppress(Exception):
            pool.submit(client.futures_create_order, **STOP).result()
    assert threading.Thread.start is start
    with exit_shim.attributed("trailing"), contextlib.suppress(Exception), ThreadPoolExecutor(1) as pool:
        pool.submit(client.futures_create_order, **STOP).result()
    assert [record.intent.attribution.module for record in recorded()] == ["trailing"]


def test_functions_of_the_class_copy_and_pickle_by_name():
    """As without the shim, a function fetched from the class is copied and pickled as itself."""
    exit_shim.install()
    own = Client.futures_create_order
    assert copy.copy(own) is own
    assert copy.deepcopy(own) is own
    assert pickle.loads(pickle.dumps(own)) is own


def test_a_raw_request_is_there_for_c(client):
    """A method for raw requests that C code fetches has no frame behind it."""
    fetched, read = [], operator.attrgetter("_request_futures_api")
    with exit_shim.install():
        _thread.start_new_thread(fetched.extend, (map(read, [client]),))
        until = time.monotonic() + 60
        while not fetched and time.monotonic() < until:
            time.sleep(0.01)
    assert fetched == [client._request_futures_api]


def test_python_binances_own_requests_take_the_short_way(client, recorded):
    """A method that is no door is handed the raw request it would have without the shim."""
    asked = []

    def ask(self, *args, **kwargs):
        asked.append(inspect.currentframe().f_back.f_code.co_name)
        return {}

    with mock.patch.object(Client, "_request_futures_api", ask), exit_shim.install():
        client.futures_account()
    assert asked == ["futures_account"]
    assert recorded() == []


def test_what_is_no_door_is_the_very_function():
    """Nothing but the doors changes on the classes, so all else costs what it did."""
    before = [dict(vars(owner)) for owner in CLASSES]
    names = {door.method for door in DOORS}
    with exit_shim.install():
        for owner, then in zip(CLASSES, before, strict=True):
            changed = {name for name, value in vars(owner).items() if then[name] is not value}
            assert changed == names & {name for name in then if owner is not object}


LAZY = """
    import sys
    import exit_shim
    with exit_shim.ExitShim(journal=False).install():
        print("binance" in sys.modules)
        from binance import AsyncClient, Client
        print(*(type(vars(one)["futures_create_order"]).__name__ for one in (Client, AsyncClient)))
        import binance
        import binance.client as module
        print(*(type(one.__spec__.loader).__name__ for one in (binance, module)))
        print(module.__loader__ is module.__spec__.loader)
    print(*(type(vars(one)["futures_create_order"]).__name__ for one in (Client, AsyncClient)))
    print(any("arrival" in str(finder) for finder in sys.meta_path))
"""


def test_python_binance_is_not_imported_but_waited_for():
    """Installed first, the doors come with the import; its loaders stay what they were."""
    assert run_python(LAZY) == [
        "False",
        "InstalledDoor",
        "InstalledDoor",
        "SourceFileLoader",
        "SourceFileLoader",
        "True",
        "function",
        "function",
        "False",
    ]


def test_an_uninstall_before_the_import_cancels_it():
    """What was uninstalled before python-binance came leaves no door and no finder behind."""
    code = """
        import sys
        import exit_shim
        finders = list(sys.meta_path)
        exit_shim.install(shim=exit_shim.ExitShim(journal=False))
        exit_shim.uninstall()
        print(sys.meta_path == finders, "binance" in sys.modules)
        from binance import Client
        print(type(vars(Client)["futures_create_order"]).__name__)
    """
    assert run_python(code) == ["True", "False", "function"]


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A stand-in for python-binance, in a process of its own: `client` holds both classes, as in old ones."""
    package = tmp_path / "binance"
    package.mkdir()

    def write(init="", client="", streams=""):
        classes = "class {0}:\n    def futures_create_order(self, **params):\n        return 1\n"
        (package / "__init__.py").write_text(
            f"{init}\nfrom .client import Client, AsyncClient\nfrom . import streams\n"
        )
        (package / "client.py").write_text(
            client + "\n" + classes.format("Client") + classes.format("AsyncClient")
        )
        (package / "streams.py").write_text(streams)

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return write


SHOW = """
for one in (binance.Client, binance.AsyncClient):
    print(type(vars(one)["futures_create_order"]).__name__)
"""


def test_old_releases_with_both_clients_in_one_module(toy):
    """Where there is no binance.async_client, the classes are found where they are."""
    toy()
    code = "import binance, exit_shim\nexit_shim.install(shim=exit_shim.ExitShim(journal=False))" + SHOW
    assert run_python(code) == ["InstalledDoor"] * 2


@pytest.mark.parametrize("where", ["init", "client", "streams"])
def test_installed_amid_the_import(toy, where):
    """An install by code that python-binance's own import runs is complete when the import is."""
    toy(**{where: "import exit_shim\nexit_shim.install(shim=exit_shim.ExitShim(journal=False))"})
    assert run_python("import binance" + SHOW) == ["InstalledDoor"] * 2


def test_installed_while_another_thread_imports(toy):
    """An install returns when the import under way in another thread is done, with the doors on."""
    toy(client="import time\ntime.sleep(0.3)")
    code = """
        import sys, threading, time
        import exit_shim, exit_shim.clients.patching
        shim = exit_shim.ExitShim(journal=False)
        thread = threading.Thread(target=__import__, args=("binance",))
        thread.start()
        while "binance.client" not in sys.modules:
            time.sleep(0.001)
        shim.install()
        binance = sys.modules["binance"]
    """
    assert run_python(textwrap.dedent(code) + SHOW) == ["InstalledDoor"] * 2


def test_an_import_that_fails_is_told_as_it_is(toy):
    """A broken python-binance raises its own error at the bot's import, and a second try is covered."""
    toy(streams="import builtins\nif not hasattr(builtins, 'again'):\n    raise OSError('broken')")
    code = """
        import builtins
        import exit_shim
        exit_shim.ExitShim(journal=False).install()
        try:
            import binance
        except OSError as error:
            print(error)
        builtins.again = True
        import binance
    """
    assert run_python(textwrap.dedent(code) + SHOW) == [
        "broken",
        "InstalledDoor",
        "InstalledDoor",
    ]


def test_a_reloaded_module_is_covered(toy):
    """The classes that importlib.reload makes anew have the doors as well."""
    toy()
    code = """
        import importlib
        import exit_shim
        exit_shim.ExitShim(journal=False).install()
        import binance.client
        importlib.reload(binance.client)
        importlib.reload(binance)
    """
    assert run_python(textwrap.dedent(code) + SHOW) == ["InstalledDoor"] * 2


@pytest.mark.parametrize("stub", [mock.MagicMock(), type(sys)("binance")])
def test_a_stub_in_place_of_python_binance_is_left_alone(stub, monkeypatch):
    """Bots' tests put mocks or empty modules where python-binance would be."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "binance"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "binance", stub)
    with exit_shim.install():
        assert not is_installed()


AUTO = """
    import sys
    {before}
    import exit_shim.auto
    print("wrapt" in sys.modules, "logging" in sys.modules)
    from binance import Client
    print(type(vars(Client)["futures_create_order"]).__name__)
    import exit_shim
    exit_shim.uninstall()
    print(type(vars(Client)["futures_create_order"]).__name__)
"""


def test_auto_installs_from_the_environment(tmp_path):
    """Importing exit_shim.auto waits for python-binance, loads nothing before it comes, and then installs."""
    journal = tmp_path / "auto.db"
    code = textwrap.dedent(AUTO).replace("{before}", "")
    assert run_python(code, EXIT_SHIM_JOURNAL=str(journal)) == ["False", "False", "InstalledDoor", "function"]
    assert journal.exists()


def test_auto_after_python_binance_installs_at_once():
    """Where python-binance is there already, nothing is waited for."""
    code = textwrap.dedent(AUTO).replace("{before}", "import binance")
    assert run_python(code)[-2:] == ["InstalledDoor", "function"]


def test_auto_is_cancelled_by_uninstall():
    """An uninstall before python-binance comes also ends what exit_shim.auto waits for."""
    code = """
        import exit_shim.auto
        exit_shim.uninstall()
        from binance import Client
        print(type(vars(Client)["futures_create_order"]).__name__)
    """
    assert run_python(code) == ["function"]


def test_auto_never_raises(tmp_path):
    """A shim that cannot even be made costs a log line, not the bot's start."""
    code = """
        import exit_shim.auto, exit_shim.shim
        exit_shim.shim.ExitShim = None
        from binance import Client
        print(type(vars(Client)["futures_create_order"]).__name__)
    """
    assert run_python(code) == ["function"]


def test_auto_says_why_it_could_not_install():
    """The line has the error's text, and says what follows from it."""
    code = """
        import exit_shim.auto, exit_shim.shim
        def fail(*_, **__): raise OSError("no room for a thread")
        exit_shim.shim.ExitShim.__init__ = fail
        import binance
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert "NOTHING IS RECORDED: OSError: no room for a thread" in done.stderr


def test_auto_disabled():
    """With EXIT_SHIM_DISABLED=1 the classes stay as they are."""
    code = (
        "import exit_shim.auto, binance\nprint(type(vars(binance.Client)['futures_create_order']).__name__)"
    )
    assert run_python(code, EXIT_SHIM_DISABLED="1") == ["function"]


def test_a_failing_shim_is_not_in_the_imports_way(monkeypatch):
    """What fails while the classes are changed is counted, and raised to nobody."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    with mock.patch.object(exit_shim.clients.patching, "library_doors", side_effect=ValueError("odd")):
        shim.install()
    assert shim.internal_errors.count == 1
    # Its line must not come in the middle of the next test.
    shim.close()


def test_other_finders_are_asked_in_their_order():
    """The finder that waits gives a module of the package the spec it would have had, others none."""
    awaited = ImportWatcher("json", lambda name: None)
    awaited.start()
    try:
        assert awaited.find_spec("email", None) is None
        assert awaited.find_spec("json.nothing", []) is None
        assert awaited.find_spec("json", None).origin == __import__("json").__file__
    finally:
        awaited.stop()
