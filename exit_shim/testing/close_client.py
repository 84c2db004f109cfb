"""The close of a sync client of any release of python-binance."""

import asyncio
from typing import Any


def close_client(client: Any) -> None:
    """Close a client's connections, and the event loop that newer releases make and leave open."""
    client.session.close()
    # Since the WebSocket API came in.
    loop = getattr(client, "loop", None)
    if loop is not None:
        loop.close()
        asyncio.set_event_loop(None)
