"""Who asked: the first frame of the bot's own code that is no executor, and what that answer rests on."""

import asyncio
import concurrent.futures
import functools
import inspect
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from binance.exceptions import BinanceAPIException
from bots import STOP, FakeAsyncClient, FakeClient, load

import exit_shim
from exit_shim.attribution.attribute import attribute
from exit_shim.attribution.code_files import is_foreign, short_name
from exit_shim.attribution.stack import SiteFinder

EXECUTORS = frozenset({"safe_order_executor", "backend.retry"})

MONITOR = """
    def place(client, order):
        return client.futures_create_order(**order)

    async def place_async(client, order):
        return await client.futures_create_order(**order)

    def coroutine(client, order):
        return client.futures_create_order(**order)

    def fetch(client):
        return client.futures_create_order

    class PositionMonitor:
        def __init__(self, client):
            self.client = client

        def protect(self, order):
            return [(lambda: self.client.futures_create_order(**order))() for _ in range(1)]
"""


def frames(*sites):
    """Stub frames, nearest to the client first: (module name, file name)."""
    back = None
    for line, (name, filename) in reversed(list(enumerate(sites, 1))):
        code = SimpleNamespace(co_filename=filename, co_name="f", co_qualname="C.f", co_names=())
        back = SimpleNamespace(
            f_code=code, f_lineno=line, f_lasti=line, f_globals={"__name__": name}, f_locals={}, f_back=back
        )
    return back


def named(*sites, bound=None):
    finder = SiteFinder(EXECUTORS)
    return attribute(finder, frames(*sites), None if bound is None else finder.find(frames(*bound)))[0]


FUNCTION = "C.f" if sys.version_info >= (3, 11) else "f"
BOT = ("backend.services.position_monitor", "/bot/backend/services/position_monitor.py")
EXECUTOR = ("backend.safe_order_executor", "/bot/backend/safe_order_executor.py")
RETRY = ("backend.retry", "/bot/backend/retry.py")
LIBRARY = ("tenacity", "/venv/lib/python3.13/site-packages/tenacity/__init__.py")
STDLIB = ("threading", threading.__file__)


def test_the_first_frame_of_the_bots_own_code():
    """Libraries, the standard library, frozen code and the shim are skipped; the next frame is who asked."""
    who = named(
        ("exit_shim.clients.proxy", exit_shim.shim.__file__),
        LIBRARY,
        STDLIB,
        ("runpy", "<frozen runpy>"),
        BOT,
    )
    assert (who.module, who.dotted_module) == ("position_monitor", "backend.services.position_monitor")
    assert (who.function, who.file, who.line) == (FUNCTION, BOT[1], 5)
    assert (who.evidence, who.via) == ("stack", ())


def test_executors_are_passed_through_and_kept():
    """Executors, by short or dotted name, are kept in via, nearest to the client first and once each."""
    who = named(RETRY, EXECUTOR, LIBRARY, EXECUTOR, BOT)
    assert (who.module, who.via) == ("position_monitor", ("retry", "safe_order_executor"))


def test_the_place_of_the_fetch_when_the_stack_is_empty():
    """With no frame of the bot on the stack, who fetched the method is named, with evidence bind."""
    who = named(EXECUTOR, STDLIB, bound=(RETRY, BOT))
    assert (who.module, who.evidence) == ("position_monitor", "bind")
    assert who.via == ("safe_order_executor", "retry")


def test_nothing_known_is_said_so():
    """Without stack, fetch or declaration the module is "unknown", and the executors are still told."""
    for who in (named(EXECUTOR, STDLIB), named(EXECUTOR, STDLIB, bound=(STDLIB,)), named(EXECUTOR)):
        assert (who.module, who.evidence, who.via) == ("unknown", "unknown", ("safe_order_executor",))
        assert who.file is None


def test_declared_outranks_all_else():
    """`attributed` names the module and keeps the place; with no place at all it still names it."""
    with exit_shim.attributed("brain", explanation="because"):
        who = named(BOT, bound=(RETRY, BOT))
        lost = named(STDLIB)
    assert (who.module, who.evidence, who.explanation) == ("brain", "context", "because")
    assert (who.dotted_module, who.line) == ("backend.services.position_monitor", 1)
    assert (lost.module, lost.evidence, lost.file) == ("brain", "context", None)


@pytest.mark.parametrize(
    ("dotted", "filename", "short"),
    [
        ("backend.services.position_monitor", "/bot/x.py", "position_monitor"),
        ("position_monitor", "/bot/x.py", "position_monitor"),
        ("__main__", "/bot/main.py", "main"),
        ("__main__", "/bot/trader/__main__.py", "trader"),
        ("trader.__main__", "/bot/trader/__main__.py", "trader"),
        ("__main__", "<stdin>", "<stdin>"),
    ],
)
def test_short_names(dotted, filename, short):
    """People read the last part of a module's name; a script or a package's main goes by its file."""
    assert short_name(dotted, filename) == short


@pytest.mark.parametrize(
    ("filename", "foreign"),
    [
        (asyncio.__file__, True),
        (pytest.__file__, True),
        (exit_shim.shim.__file__, True),
        ("<frozen importlib._bootstrap>", True),
        ("C:\\venv\\Lib\\site-packages\\tenacity\\nap.py", True),
        ("/usr/lib/python3/dist-packages/requests/api.py", True),
        ("/home/me/site-packages/bot.py", True),
        ("/home/me/my-site-packages-bot/bot.py", False),
        ("/home/me/bot.py", False),
        (__file__, False),
        ("<string>", False),
        ("<ipython-input-3-abc>", False),
    ],
)
def test_what_is_foreign(filename, foreign):
    """The standard library, installed packages and the shim are; so is a bot in a site-packages folder."""
    assert is_foreign(filename) is foreign


@pytest.mark.parametrize("name", [None, 5, [], "", "a\udce9b"])
def test_odd_module_names_are_survived(name):
    """A frame whose globals hold no sensible __name__ is named by its file, in text that can be written."""
    frame = frames(BOT)
    frame.f_globals = {} if name is None else {"__name__": name}
    who, _ = attribute(SiteFinder(EXECUTORS), frame, None)
    for text in (who.module, who.dotted_module, who.function, who.file):
        assert isinstance(text, str)
        assert text.encode()


def test_generated_code_without_a_name_is_no_place():
    """A wrapper that a library made with exec, in globals of its own, is passed over."""
    frame = frames(("x", "<decorator-gen-3>"), BOT)
    frame.f_globals = {}
    assert attribute(SiteFinder(EXECUTORS), frame, None)[0].module == "position_monitor"


@pytest.fixture
def fake():
    """A fake client, wrapped."""
    return exit_shim.wrap(FakeClient())


@pytest.fixture
def lines(recorded):
    """What was recorded, as flat lines."""
    return lambda: [record.flat() for record in recorded()]


@pytest.fixture
def monitor(tmp_path):
    """A module of a bot."""
    return load(tmp_path, "backend.services.position_monitor", MONITOR)


def test_a_module_of_a_bot(fake, monitor, lines):
    """Short and dotted name, function, file and line are those of the line that placed the order."""
    monitor.place(fake, STOP)
    (line,) = lines()
    assert (line["module"], line["dotted_module"]) == (
        "position_monitor",
        "backend.services.position_monitor",
    )
    assert (line["function"], line["file"], line["line"]) == ("place", monitor.__file__, 3)
    assert line["evidence"] == "stack"


def test_identical_functions_in_two_files(fake, tmp_path, lines):
    """A file copied under another name is told from its twin, though their code objects are equal."""
    twins = [load(tmp_path, f"bot.{name}", MONITOR) for name in ("original", "copied")]
    assert twins[0].place.__code__ == twins[1].place.__code__
    for twin in twins:
        twin.place(fake, STOP)
    assert [line["module"] for line in lines()] == ["original", "copied"]
    assert [line["file"] for line in lines()] == [twin.__file__ for twin in twins]


def test_lambdas_and_comprehensions(fake, monitor, lines):
    """An order out of a lambda in a comprehension of a method is the module's."""
    monitor.PositionMonitor(fake).protect(STOP)
    (line,) = lines()
    assert (line["module"], line["line"]) == ("position_monitor", 19)
    assert "lambda" in line["function"]


def test_a_callable_handed_to_a_helper_of_the_bot(fake, monitor, tmp_path, lines):
    """A helper that calls what it was given is who called, unless it is declared an executor."""
    source = "def call(function, order): return function(**order)"
    load(tmp_path, "backend.helper", source).call(monitor.fetch(fake), STOP)
    load(tmp_path, "backend.safe_order_executor", source).call(monitor.fetch(fake), STOP)
    helper, executor = lines()
    assert (helper["module"], helper["via"]) == ("helper", ())
    assert (executor["module"], executor["via"]) == ("test_attribution", ("safe_order_executor",))


def in_pool(call):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(call, **STOP).result()


def in_timer(call):
    timer = threading.Timer(0, call, kwargs=STOP)
    timer.start()
    timer.join()


def in_thread(call):
    thread = threading.Thread(target=call, kwargs=STOP)
    thread.start()
    thread.join()


def to_thread(call):
    asyncio.run(asyncio.to_thread(call, **STOP))


def in_executor(call):
    async def main():
        await asyncio.get_running_loop().run_in_executor(None, functools.partial(call, **STOP))

    asyncio.run(main())


def call_later(call):
    async def main():
        asyncio.get_running_loop().call_later(0, functools.partial(call, **STOP))
        await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize("away", [in_pool, in_timer, in_thread, to_thread, in_executor, call_later])
def test_a_method_called_where_no_frame_is_the_bots(away, fake, monitor, lines):
    """In threads, pools, timers and loop callbacks the order is the module's that fetched the method."""
    away(monitor.fetch(fake))
    (line,) = lines()
    assert (line["module"], line["function"], line["evidence"]) == ("position_monitor", "fetch", "bind")


def test_a_function_of_the_bot_on_a_worker_thread(fake, monitor, lines):
    """A function of the bot's own that runs in a pool is on the stack there."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(monitor.place, fake, STOP).result()
    assert [(line["module"], line["evidence"]) for line in lines()] == [("position_monitor", "stack")]


async def test_an_async_order_is_who_called_not_who_awaited(monitor, lines):
    """Coroutines that one module makes and another gathers are the module's that made them."""
    used = exit_shim.wrap(FakeAsyncClient())
    await asyncio.gather(*(monitor.coroutine(used, {**STOP, "stopPrice": n}) for n in range(3)))
    await asyncio.create_task(monitor.coroutine(used, STOP))
    assert {(line["module"], line["function"], line["evidence"]) for line in lines()} == {
        ("position_monitor", "coroutine", "stack")
    }
    assert len(lines()) == 4


async def test_the_genuine_async_client_too(async_client, monitor, lines):
    """The same with python-binance's AsyncClient over HTTP."""
    used = exit_shim.wrap(async_client)
    answers = await asyncio.gather(monitor.coroutine(used, STOP), return_exceptions=True)
    assert isinstance(answers[0], BinanceAPIException)
    assert [line["module"] for line in lines()] == ["position_monitor"]


async def test_tasks_of_the_bot(monitor, lines):
    """A coroutine function of the bot in a task of its own is on the stack of its task."""
    used = exit_shim.wrap(FakeAsyncClient())
    await asyncio.create_task(monitor.place_async(used, STOP))
    assert [(line["module"], line["evidence"]) for line in lines()] == [("position_monitor", "stack")]


EXECUTOR_SOURCE = """
    async def place(client, order):
        return client.futures_create_order(**order)
"""

RUNNERS = """
    import asyncio

    def wait_for(coroutine):
        return asyncio.run(coroutine)

    def in_a_task(coroutine):
        async def main():
            await asyncio.create_task(coroutine)
        return asyncio.run(main())

    async def awaited(coroutine):
        return await coroutine
"""


def test_an_executors_coroutine_that_is_waited_for(fake, tmp_path, lines):
    """`asyncio.run(executor.place(...))` in a module is the module's order; the loop is passed through."""
    executor = load(tmp_path, "backend.safe_order_executor", EXECUTOR_SOURCE)
    runner = load(tmp_path, "backend.trailing", RUNNERS)
    runner.wait_for(executor.place(fake, STOP))
    asyncio.run(runner.awaited(executor.place(fake, STOP)))
    assert [(line["module"], line["function"], line["via"]) for line in lines()] == [
        ("trailing", "wait_for", ("safe_order_executor",)),
        ("trailing", "awaited", ("safe_order_executor",)),
    ]


def test_an_executors_coroutine_in_a_task_is_not_put_down_to_the_main_program(fake, tmp_path, lines):
    """Who made the task is nowhere on its stack: that is unknown, not whoever runs the loop."""
    executor = load(tmp_path, "backend.safe_order_executor", EXECUTOR_SOURCE)
    load(tmp_path, "backend.main", RUNNERS).in_a_task(executor.place(fake, STOP))
    (line,) = lines()
    assert (line["module"], line["evidence"], line["via"]) == ("unknown", "unknown", ("safe_order_executor",))


def test_attributed_as_a_context_manager(fake, lines):
    """Inside, the declared name, kind and explanation; nested ones end where they began."""
    with exit_shim.attributed("outer", kind="breakeven", explanation="half way"):
        fake.futures_create_order(**STOP)
        with exit_shim.attributed("inner"):
            fake.futures_create_order(**STOP)
        fake.futures_create_order(**STOP)
    fake.futures_create_order(**STOP)
    assert [(line["module"], line["kind"], line["explanation"], line["evidence"]) for line in lines()] == [
        ("outer", "breakeven", "half way", "context"),
        ("inner", "sl", None, "context"),
        ("outer", "breakeven", "half way", "context"),
        ("test_attribution", "sl", None, "stack"),
    ]


async def test_attributed_as_a_decorator(fake, lines):
    """Functions and coroutine functions keep their kind and names, and their bodies run inside."""

    @exit_shim.attributed("sync")
    def place():
        """Doc."""
        return fake.futures_create_order(**STOP)

    @exit_shim.attributed("async")
    async def place_async():
        await asyncio.sleep(0)
        return fake.futures_create_order(**STOP)

    assert (place.__name__, place.__doc__) == ("place", "Doc.")
    assert inspect.iscoroutinefunction(place_async)
    assert not inspect.iscoroutinefunction(place)
    place()
    await place_async()
    fake.futures_create_order(**STOP)
    assert [line["module"] for line in lines()] == ["sync", "async", "test_attribution"]


async def test_attributed_follows_tasks_and_to_thread(fake, lines):
    """The declared name goes along into create_task and asyncio.to_thread."""

    async def place():
        fake.futures_create_order(**STOP)

    with exit_shim.attributed("brain"):
        task = asyncio.create_task(place())
        await asyncio.to_thread(fake.futures_create_order, **STOP)
    await task
    assert {line["module"] for line in lines()} == {"brain"}
    assert len(lines()) == 2


async def test_one_attributed_in_two_tasks_at_once(fake, lines):
    """The same object entered by tasks that overlap ends in each as it began."""
    brain = exit_shim.attributed("brain")

    async def place(first, second):
        with brain:
            await asyncio.sleep(first)
            fake.futures_create_order(**STOP)
        await asyncio.sleep(second)
        fake.futures_create_order(**STOP)

    await asyncio.gather(place(0.01, 0), place(0.02, 0.01))
    assert sorted(line["module"] for line in lines()) == ["brain"] * 2 + ["test_attribution"] * 2


def test_attributed_in_a_generator_undoes_its_own_entry_only(fake, lines):
    """A generator that ends inside a block of its consumer leaves what is declared there in place."""

    def levels():
        with exit_shim.attributed("generator"):
            yield 1

    made = levels()
    next(made)
    with exit_shim.attributed("consumer", kind="breakeven"):
        made.close()
        fake.futures_create_order(**STOP)
        with exit_shim.attributed("inner"):
            fake.futures_create_order(**STOP)
    fake.futures_create_order(**STOP)
    assert [(line["module"], line["kind"]) for line in lines()] == [
        ("consumer", "breakeven"),
        ("inner", "sl"),
        ("test_attribution", "sl"),
    ]


async def test_attributed_in_a_generator_that_another_task_ends(fake, lines):
    """What the task that finishes it has declared stays."""

    async def levels():
        with exit_shim.attributed("generator"):
            yield 1

    made = levels()
    await asyncio.create_task(anext(made))
    with exit_shim.attributed("consumer"):
        await made.aclose()
        fake.futures_create_order(**STOP)
    fake.futures_create_order(**STOP)
    assert [line["module"] for line in lines()] == ["consumer", "test_attribution"]


def test_attributed_with_odd_values_can_be_read_back(fake, lines):
    """Whatever is given as name, kind or explanation is recorded as text, and the journal stays readable."""
    with exit_shim.attributed(5, kind=["sl"], explanation="a\udce9b"):
        fake.futures_create_order(**STOP)
    (line,) = lines()
    assert (line["module"], line["kind"], line["explanation"]) == ("5", "other_exit", "a\\udce9b")


def test_a_bot_in_a_folder_that_is_not_utf8(fake, tmp_path, lines):
    """A file name with bytes that are no text costs no record."""
    folder = tmp_path / "bot-\udce9"
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only text")
    load(folder, "monitor", MONITOR).place(fake, STOP)
    (line,) = lines()
    assert line["module"] == "monitor"
    assert "bot-\\udce9" in line["file"]


@pytest.mark.parametrize(
    ("files", "command", "module"),
    [
        ({"bot.py": "{}"}, ["bot.py"], "bot"),
        ({"trader/__init__.py": "", "trader/__main__.py": "{}"}, ["-m", "trader"], "trader"),
    ],
)
def test_main_programs_go_by_their_file(tmp_path, files, command, module):
    """An order of `__main__` is named after the script, or after the package that `-m` runs."""
    program = (
        "import exit_shim\n"
        "class Fake:\n"
        "    def futures_create_order(self, **p): return {'orderId': 1}\n"
        "exit_shim.wrap(Fake()).futures_create_order(closePosition=True)\n"
        "print(*exit_shim.get_exit_order_metrics().get_summary()['orders_by_module'])\n"
    )
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("{}", program))
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [module]


def test_one_file_under_two_names(tmp_path, recorded):
    """A file that is imported as two modules is each of them: one may be an executor and the other not."""
    shim = exit_shim.ExitShim(roles=exit_shim.Roles(passthrough={"bot.sender"}))
    fake = shim.wrap(FakeClient())
    source = "def call(place, *given, **order): return place(*given, **order)"
    sender = load(tmp_path, "bot.sender", source)
    copy = SimpleNamespace(__name__="bot.strategy")
    exec(compile(source, sender.__file__, "exec"), vars(copy))
    for _ in range(2):
        copy.call(sender.call, fake.futures_create_order, **STOP)
        sender.call(fake.futures_create_order, **STOP)
    shim.close()
    lines = [record.flat() for record in recorded()]
    assert [line["module"] for line in lines] == ["strategy", "test_attribution"] * 2
    assert [line["via"] for line in lines] == [("sender",)] * 4
    assert [step["module"] for step in lines[0]["chain"][:2]] == ["bot.sender", "bot.strategy"]


def test_two_texts_under_one_file_name(fake, lines):
    """Texts that were compiled under the same name are the modules that they run as, behind who asked too."""
    for _ in range(2):
        for name in ("bot.one", "bot.two"):
            names = {"__name__": name}
            exec(compile("def call(place, *given, **order): place(*given, **order)", "r.py", "exec"), names)
            names["call"](fake.futures_create_order, **STOP)
            names["call"](place_through, fake, STOP)
    assert [line["module"] for line in lines()][::2] == ["one", "two"] * 2
    assert [line["chain"][1]["module"] for line in lines()][1::2] == ["bot.one", "bot.two"] * 2


def test_one_code_behind_who_asked_under_two_names(fake, lines):
    """The same code object, run as two modules, is told by its name in what led to an order too."""
    code = compile("place(client, order)", "/bot/rules.py", "exec")
    for name in ("bot.one", "bot.two", "bot.one"):
        exec(code, {"__name__": name, "place": place_through, "client": fake, "order": STOP})
    assert [line["chain"][1]["module"] for line in lines()] == ["bot.one", "bot.two", "bot.one"]


def place_through(client, order):
    client.futures_create_order(**order)


def test_files_without_end_are_not_all_remembered(monkeypatch):
    """A bot that compiles texts, each under a name of its own, has each told right and takes no more room."""
    monkeypatch.setattr("exit_shim.attribution.stack.MAX_FILES", 50)
    finder = SiteFinder()
    for number in range(200):
        names = {"__name__": f"rules_{number}"}
        exec(compile("import sys\nframe = sys._getframe()", f"/bot/rules/{number}.py", "exec"), names)
        assert finder.find(names["frame"]).role.name == f"rules_{number}"
    assert len(finder._roles) <= 50
