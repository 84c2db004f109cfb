"""The environment of one test's shim, without the user's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from exit_shim.configuration import DISABLED_VARIABLE, OTEL_VARIABLE, RESOLVE_VARIABLE, SHIP_VARIABLE
from exit_shim.domain.modes import BRAIN_FLAG_VARIABLE, MODE_VARIABLE
from exit_shim.journal.default_path import JOURNAL_VARIABLE
from exit_shim.testing.confinement.audit_hook import PROXY_VARIABLES


def isolate(monkeypatch: pytest.MonkeyPatch, journal: Path, mode: str | None) -> None:
    """Set the environment from which the shim of this test is made.

    Proxies leave it too: one on this machine would be a way out to others.
    """
    proxies = (*PROXY_VARIABLES, *map(str.lower, PROXY_VARIABLES))
    ours = MODE_VARIABLE, BRAIN_FLAG_VARIABLE, DISABLED_VARIABLE, SHIP_VARIABLE, OTEL_VARIABLE
    for name in (*ours, *proxies):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(JOURNAL_VARIABLE, str(journal))
    # A test counts the requests that arrive.
    monkeypatch.setenv(RESOLVE_VARIABLE, "0")
    if mode is not None:
        monkeypatch.setenv(MODE_VARIABLE, mode)
