"""Executors on the local exchange, over HTTP and WebSocket."""

import asyncio
from types import SimpleNamespace

import pytest
from running_executor import plan_for

import exit_shim
from exit_shim.executor import ExitExecutor


@pytest.fixture
def make(tmp_path):
    """Make executors, each with a shim on the same journal; all are stopped at the end."""
    made = []

    def begin(client, router=plan_for, *, journal=tmp_path / "executor.db", policy=None, **options):
        shim = exit_shim.ExitShim(journal=journal, account="mine", sinks=[], policy=policy)
        passes = []
        executor = ExitExecutor(client, router, shim=shim, on_pass=passes.append, **options)
        made.append(SimpleNamespace(executor=executor, shim=shim, passes=passes))
        return made[-1]

    yield begin
    for one in made:
        ended = one.executor.stop()
        if asyncio.iscoroutine(ended):
            ended.close()
        one.shim.close()
