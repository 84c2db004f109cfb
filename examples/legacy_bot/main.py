"""The bot: opens a few positions, lets every module loose on them in turn, closes up and ends."""

import asyncio
import logging
import sys
from urllib.parse import urlsplit

from binance.client import Client

from backend import config
from backend.services.execution.dynamic_trailing_rearm import DynamicTrailingRearm
from backend.services.execution.event_driven_executor import EventDrivenExecutor
from backend.services.execution.hybrid_tpsl import HybridTPSL
from backend.services.execution.trailing_stop_manager import TrailingStopManager
from backend.services.monitoring.position_monitor import PositionMonitor
from backend.services.risk.exposure_guard import ExposureGuard

logger = logging.getLogger("main")


async def guarded(step):
    """One module's trouble must not stop the others."""
    try:
        await step
    except Exception:
        logger.exception("a module failed, carrying on")


def refuse_a_real_exchange():
    """The one thing here that no legacy bot has: this one is an example and must not trade for real."""
    host = urlsplit(Client(ping=False)._create_futures_api_uri("order")).hostname
    if host not in ("127.0.0.1", "localhost", "::1"):
        sys.exit(f"this example only trades against a local exchange, and python-binance points at {host}")


async def main():
    refuse_a_real_exchange()
    executor = EventDrivenExecutor()
    monitor = PositionMonitor()
    modules = [monitor, HybridTPSL(), TrailingStopManager(), ExposureGuard(), DynamicTrailingRearm()]

    logger.info("opening %d positions", len(config.SIGNALS))
    await guarded(executor.on_signals(config.SIGNALS))
    for round_no in range(config.ROUNDS):
        logger.info("round %d", round_no)
        for module in modules:
            await guarded(module.run_cycle(round_no))
            await asyncio.sleep(config.PAUSE)

    logger.info("shutting down")
    await guarded(monitor.close_everything())
    for asset in monitor.client.futures_account_balance():
        if asset["asset"] == "USDT":
            logger.info("wallet %s USDT", asset["balance"])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="[%(name)s] %(message)s")
    asyncio.run(main())
