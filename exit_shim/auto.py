"""Install the shim when this module is imported, in a bot that another program starts.

    python -c "import exit_shim.auto, runpy; runpy.run_path('bot.py', run_name='__main__')"

The environment configures it. It never raises. Until a client library is imported it loads next to nothing,
so it may be imported in a `sitecustomize`, which every Python process runs.
"""

import sys

from exit_shim.clients.import_hook import ImportWatcher
from exit_shim.clients.packages import watched_packages

_packages = watched_packages()


def _on_import(name: str) -> None:
    if name in _packages:
        for watcher in _watchers:
            watcher.stop()
        _install()


def _install() -> None:
    try:
        from exit_shim.api import install  # noqa: PLC0415 - only bots need it

        install()
    except Exception as error:  # noqa: BLE001 - the bot did not ask for this import
        import logging  # noqa: PLC0415

        from exit_shim.runtime.scrubbing import describe  # noqa: PLC0415

        logging.getLogger("exit_shim").error(  # noqa: TRY400 - a traceback may show what is secret
            "[EXIT_GATEWAY] exit_shim.auto could not install, and NOTHING IS RECORDED: %s", describe(error)
        )


_watchers = [ImportWatcher(package, _on_import) for package in _packages]
if any(package in sys.modules for package in _packages):
    _install()
else:
    for _watcher in _watchers:
        _watcher.start()
