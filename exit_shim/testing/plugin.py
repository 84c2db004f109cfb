"""The pytest plugin: loaded at every start of pytest, so it imports no library until a fixture is asked for.

Sinks and log lines are carried out within the call meanwhile: a test looks for them right after it.

Switched off by `exit_shim_plugin = off` in the ini file, or by `-p no:exit_shim`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exit_shim.runtime.background import be_inline

if TYPE_CHECKING:
    import pytest

MARKER = (
    "exit_shim(mode=None, hedge=False, symbols=None, prices=None, wallet=10000, rules=None, "
    "trigger_delay=None, strict_reduce_only=True, spread=1, rate_limits=True, seed=0): "
    "the exchange and the EXIT_MODE of a test with fixtures of exit_shim; see "
    "docs/how-to/testing-your-bot.md."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the ini options."""
    parser.addini(
        "exit_shim_plugin",
        "whether the fixtures of exit_shim are there: on or off",
        type="bool",
        default=True,
    )
    parser.addini(
        "exit_shim_allowed_hosts",
        "hosts besides this machine that may be connected to while a fixture of exit_shim is in use",
        type="args",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and unless switched off register the fixtures and write log lines at once."""
    config.addinivalue_line("markers", MARKER)
    if config.getini("exit_shim_plugin"):
        # Nothing of it where it is switched off.
        from exit_shim.testing.kit import fixtures, refusal_report  # noqa: PLC0415

        config.pluginmanager.register(fixtures, "exit_shim_fixtures")
        config.pluginmanager.register(refusal_report, "exit_shim_refusals")
        config.add_cleanup(be_inline())
