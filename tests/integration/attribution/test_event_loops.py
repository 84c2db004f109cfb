"""Who asked, under event loops of every make: the walk ends where the running task or callback begins."""

import importlib.util
import textwrap

import pytest
from test_callers import run

LOOPS = ["asyncio", "uvloop", "nest_asyncio"]

EXECUTOR = """
    import asyncio

    def place(client, name):
        return client.futures_create_order(closePosition=True, newClientOrderId=name)

    async def place_async(client, name):
        return await client.futures_create_order(closePosition=True, newClientOrderId=name)

    async def in_a_task(client, name):
        await asyncio.create_task(place_async(client, name))

    async def in_a_loop_in_the_loop(client, name):
        asyncio.get_running_loop().run_until_complete(place_async(client, name))
"""

STRATEGY = """
    import asyncio, functools
    import safe_order_executor as executor

    def call(client, name):
        return functools.partial(client.futures_create_order, closePosition=True, newClientOrderId=name)

    async def own(client, name):
        await executor.place_async(client, name)

    def wait_for(loop, client, name):
        loop.run_until_complete(executor.place_async(client, name))

    def run_it(run, client, name):
        run(executor.place_async(client, name))
"""

MAIN = """
    import asyncio, sys
    import exit_shim
    import safe_order_executor as executor, strategy

    class Plain:
        def futures_create_order(self, **params): return {"orderId": 1}

    class Async:
        async def futures_create_order(self, **params): return {"orderId": 1}

    plain, client = exit_shim.wrap(Plain()), exit_shim.wrap(Async())
    new_loop, run, kind = asyncio.new_event_loop, asyncio.run, sys.argv[1]
    if kind == "uvloop":
        import uvloop
        new_loop, run = uvloop.new_event_loop, uvloop.run
    elif kind == "nest_asyncio":
        import nest_asyncio
        asyncio.set_event_loop(asyncio.new_event_loop())
        nest_asyncio.apply()

    async def main():
        loop = asyncio.get_running_loop()
        await executor.place_async(client, "awaited")
        await executor.in_a_task(client, "executors_task")
        await asyncio.create_task(strategy.own(client, "strategys_task"))
        loop.call_soon(executor.place, plain, "executors_callback")
        loop.call_soon(strategy.call(plain, "strategys_method"))
        await asyncio.sleep(0)
        if kind == "nest_asyncio":
            strategy.wait_for(loop, client, "nested")
            await asyncio.create_task(executor.in_a_loop_in_the_loop(client, "executors_nested"))

    run(main())
    strategy.run_it(run, client, "run")
    loop = asyncio.get_event_loop() if kind == "nest_asyncio" else new_loop()
    strategy.wait_for(loop, client, "waited_for")
    loop.call_soon(executor.place, plain, "forever_executor")
    loop.call_soon(strategy.call(plain, "forever_method"))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
"""

ANYWHERE = {
    "awaited": ("main", "stack"),
    "executors_task": ("unknown", "unknown"),
    "strategys_task": ("strategy", "stack"),
    "executors_callback": ("unknown", "unknown"),
    "strategys_method": ("strategy", "bind"),
    "run": ("strategy", "stack"),
    "waited_for": ("strategy", "stack"),
    "forever_executor": ("unknown", "unknown"),
    "forever_method": ("strategy", "bind"),
}
NESTED = {"nested": ("strategy", "stack"), "executors_nested": ("unknown", "unknown")}


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))


@pytest.mark.parametrize("kind", LOOPS)
def test_who_runs_the_event_loop_did_not_ask(kind, tmp_path):
    """An executor's task or callback is not the main program's; whoever waits for a task asked for it."""
    if importlib.util.find_spec(kind) is None:
        pytest.skip(f"{kind} is not installed")
    write(tmp_path, main=MAIN, strategy=STRATEGY, safe_order_executor=EXECUTOR)
    lines = run(tmp_path, "main.py", kind)
    expected = ANYWHERE | (NESTED if kind == "nest_asyncio" else {})
    assert {line["client_order_id"]: (line["module"], line["evidence"]) for line in lines} == expected
    assert len(lines) == len(expected)
