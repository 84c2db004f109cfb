"""A signal handler amid the shim's own work: one that places an order, and one that raises."""

import asyncio
import gc
import os
import subprocess
import sys
import threading

import pytest

import exit_shim
from exit_shim import Door
from exit_shim.journal import spool
from exit_shim.runtime.reentrancy import AT_ONCE, DeferredAggregate

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50_000, "quantity": 1}


class Client:
    def futures_create_order(self, **params):
        return {"orderId": 1}


class Interrupt(BaseException):
    """What a handler raises: a KeyboardInterrupt, a SystemExit."""


class Counting(DeferredAggregate[int]):
    """Counts as a counter does: read, then something that a handler may come amid, then written."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.amid = lambda: None

    def _fold(self, new):
        count = self.count
        self.amid()
        self.count = count + new

    def total(self):
        with self._lock:
            self._fold_all()
            return self.count


def test_a_fold_amid_a_fold_loses_no_count():
    """What a handler has counted amid the counting of something else is there, and so is that."""
    counting = Counting()

    def handle():
        counting.amid = lambda: None
        for _ in range(AT_ONCE):
            counting.take(1)
        counting.total()

    counting.amid = handle
    counting.take(1)
    assert counting.total() == 1 + AT_ONCE


@pytest.fixture(autouse=True)
def no_collection():
    """No garbage of earlier tests is collected: Python drops what is raised inside a finalizer, and warns."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def bot(tmp_path):
    shim = exit_shim.ExitShim(journal=tmp_path / "journal.db")
    yield exit_shim.wrap(Client(), shim=shim), shim
    shim.close()


def place(client, name):
    client.futures_create_order(**STOP, reduceOnly=True, newClientOrderId=name)


def names(shim, path):
    shim.close()
    return [record.intent.order.client_order_id for record in exit_shim.journal.read_records(path)]


def test_an_interrupt_once_the_lock_is_had(bot, tmp_path):
    """The lock is given back: an order of another thread is in the spool when it leaves."""
    client, shim = bot
    place(client, "first")
    journal = shim.journal
    lock = journal._lock

    class Interrupted:
        def acquire(self, timeout):
            journal._lock = lock
            assert lock.acquire(timeout=timeout)
            raise Interrupt

    journal._lock = Interrupted()
    with pytest.raises(Interrupt):
        place(client, "interrupted")
    thread = threading.Thread(target=place, args=(client, "after"))
    thread.start()
    thread.join()
    assert shim.journal.health().in_memory == 0
    assert names(shim, tmp_path / "journal.db") == ["first", "after"]


def test_an_interrupt_amid_an_append(tmp_path, monkeypatch):
    """A line that was written and never counted hides none that follows it: all are read, none is removed."""

    class System:
        def __getattr__(self, name):
            return getattr(os, name)

        def write(self, fd, data):
            monkeypatch.setattr(spool, "os", os)
            os.write(fd, data)
            raise Interrupt

    own = spool.Spool(tmp_path / "journal.db", "run", "process")
    own.begin()
    monkeypatch.setattr(spool, "os", System())
    with pytest.raises(Interrupt):
        own.append(b"interrupted\n")
    read = b""
    for line in (b"after\n", b"last\n"):
        own.append(line)
        while (segment := own.unread()) is not None:
            chunk = segment.chunk()
            segment.read += len(chunk)
            read += chunk
    assert read == b"interrupted\nafter\nlast\n"
    monkeypatch.setattr(spool, "os", System())
    with pytest.raises(Interrupt):
        own.append(b"kept\n")
    own.close()
    (left,) = spool.spools(tmp_path / "journal.db")
    assert left.read_bytes().endswith(b"kept\n")


class InterruptAt:
    """Raises after so many points at which Python handles signals: calls, and the ends of those in C."""

    def __init__(self, left):
        self.left = left

    def __call__(self, frame, event, _argument):
        if event in ("call", "c_return"):
            self.left -= 1
            if self.left < 0:
                raise Interrupt


class Adapter:
    """A bot's own client with a door of its own; its call is interrupted from the send on."""

    def __init__(self, client):
        self.client = client

    def place_order(self, left, **params):
        answer = self.client.futures_create_order(**params)
        sys.setprofile(InterruptAt(left))
        return answer


class AsyncAdapter(Adapter):
    async def place_order(self, left, **params):
        answer = await self.client.futures_create_order(**params)
        sys.setprofile(InterruptAt(left))
        return answer


class AsyncClient:
    async def futures_create_order(self, **params):
        return {"orderId": 1}


PLACE = Door("place_order", parse=lambda left, **params: params)


def order(name):
    return {**STOP, "reduceOnly": True, "newClientOrderId": name}


POINTS = 100
"""The clean-up behind the send, and what follows it in this thread; some calls have fewer points."""

CLEAN_UP = 40
"""More points than the clean-up of the nesting has."""


def test_an_interrupt_anywhere_behind_the_send(bot, tmp_path):
    """Wherever it comes, the next order, which is alike and goes by another door, is recorded."""
    client, shim = bot
    adapter = exit_shim.wrap(Adapter(Client()), shim=shim, doors=[PLACE])
    interrupted = 0
    for number in range(POINTS):
        try:
            adapter.place_order(number, **order("interrupted"))
        except Interrupt:
            interrupted += 1
        finally:
            sys.setprofile(None)
        place(client, f"next-{number}")
    assert interrupted > CLEAN_UP
    assert next_ones(names(shim, tmp_path / "journal.db")) == list(range(POINTS))


def test_an_interrupt_anywhere_behind_the_send_of_a_coroutine(bot, tmp_path):
    """The same in a task that catches it and goes on."""
    _, shim = bot
    client = exit_shim.wrap(AsyncClient(), shim=shim)
    adapter = exit_shim.wrap(AsyncAdapter(AsyncClient()), shim=shim, doors=[PLACE])

    async def interrupt():
        interrupted = 0
        for number in range(POINTS):
            try:
                await adapter.place_order(number, **order("interrupted"))
            except Interrupt:
                interrupted += 1
            finally:
                sys.setprofile(None)
            await client.futures_create_order(**order(f"next-{number}"))
        return interrupted

    assert asyncio.run(interrupt()) > CLEAN_UP
    assert next_ones(names(shim, tmp_path / "journal.db")) == list(range(POINTS))


def next_ones(recorded):
    return [int(name.removeprefix("next-")) for name in recorded if name.startswith("next-")]


INSIDE_A_COPY = """
import contextvars, gc
import exit_shim

class Garbage:
    def __init__(self): self.cycle = self

    def __del__(self):  # runs where a signal handler may: inside the copying of a context, before Python 3.12
        with exit_shim.attributed("handler"):
            list(range(100))

variable, copies = contextvars.ContextVar("variable"), []
for number in range(500):
    variable.set(number)
    Garbage()
    gc.set_threshold(1)
    copies.append(contextvars.copy_context())
    gc.set_threshold(0)
"""


def test_attributed_inside_the_copying_of_a_context():
    """What `attributed` replaces there is still read by whoever was interrupted: the process lives."""
    done = subprocess.run(
        [sys.executable, "-c", INSIDE_A_COPY],
        env={**os.environ, "PYTHONMALLOC": "debug"},
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
