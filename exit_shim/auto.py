"""Import this to install the shim as the environment configures it, in a bot that something else starts.

    python -c "import exit_shim.auto, runpy; runpy.run_path('bot.py', run_name='__main__')"

It never raises. Until python-binance is imported it only waits for that, and loads next to nothing, so it may
stand in a `sitecustomize`, which every Python process runs.
"""

import sys

from exit_shim.clients.import_hook import ImportWatcher


def _arrived(name: str) -> None:
    if name == "binance":
        _waiting.end()
        _install()


def _install() -> None:
    try:
        from exit_shim.clients.patching import install  # noqa: PLC0415 - for bots alone

        install()
    except Exception as error:  # noqa: BLE001 - the bot did not ask for this import
        import logging  # noqa: PLC0415

        from exit_shim.runtime.scrubbing import describe  # noqa: PLC0415

        logging.getLogger("exit_shim").error(  # noqa: TRY400 - a traceback may show what is secret
            "[EXIT_GATEWAY] exit_shim.auto could not install, and NOTHING IS RECORDED: %s", describe(error)
        )


_waiting = ImportWatcher("binance", _arrived)
if "binance" in sys.modules:
    _install()
else:
    _waiting.begin()
