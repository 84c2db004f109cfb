"""What a scan finds: the places in a bot's source that send an order."""

from __future__ import annotations

from typing import Literal

import msgspec

from exit_shim.scan.source_files import LeftOut

Action = Literal["place", "change", "cancel"]
"""What the order request of a site does."""

How = Literal["direct", "bound", "string", "raw", "text", "caller"]
"""How a site sends. `direct`: it calls the client's method. `bound`: it hands that method to somebody.
`string`: it names the method in a text. `raw`: it names the exchange's path. `text`: a line of a file that
does not parse. `caller`: it calls a function of the bot that sends."""

Reach = Literal["wrap", "install", "raw", "neither"]
"""What the shim needs to see a site. `wrap`: `wrap(client)` is enough, and so is `install()`. `install`: a
proxy does not see it, since the client calls itself. `raw`: a raw request, seen by `install(raw=True)`.
`neither`: a request by another transport, or a message that the bot makes for the WebSocket API."""

OutdatedCode = Literal["ALGO_ID_IGNORED", "ALGO_STORE_IGNORED", "STOPS_TO_OLD_PATH"]
"""What is wrong with a call of before 2025-12-09. `ALGO_ID_IGNORED`: it reads `orderId` from the answer of a
conditional order, which has `algoId`. `ALGO_STORE_IGNORED`: it lists or cancels open orders, and nothing in
the bot does so for conditional ones. `STOPS_TO_OLD_PATH`: it sends a conditional order where Binance answers
-4120 or 404."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one place that sends an order.

    Attributes:
        file: The path below the scanned folder, with slashes.
        line: The first line of the call.
        end_line: Its last line.
        function: The qualified name of the function around it; "" at the top of the file.
        door: The client's method, or the exchange's verb and path.
        action: What the request does.
        kind: What the order is for, where literals show it, such as "sl"; "entry"; None where they do not.
        how: How the site sends.
        through: The function of the bot that sends for it, for a caller and for a helper that gets a method.
        through_file: The file of that function, for a caller.
        library: The client library, "raw HTTP" or "raw WebSocket".
        reach: What the shim needs to see it.
        also_lines: Lines elsewhere in this file that a record may name in its place: where a method that is
            called here was fetched.
    """

    file: str
    line: int
    end_line: int
    function: str
    door: str
    action: Action
    kind: str | None
    how: How
    through: str | None = None
    through_file: str | None = None
    library: str
    reach: Reach
    also_lines: tuple[int, ...] = ()

    @property
    def is_leaf(self) -> bool:
        """Return whether the site itself sends; a caller has it sent."""
        return self.how != "caller"

    @property
    def is_recorded(self) -> bool:
        """Return whether the journal would have its orders: exits are recorded, entries are not."""
        return self.kind != "entry"


class OutdatedCall(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a line that speaks to the exchange of before 2025-12-09, when conditional orders moved.

    Attributes:
        code: What is wrong with it.
        file: The path below the scanned folder, with slashes.
        line: Its line.
        function: The qualified name of the function around it; "" at the top of the file.
        call: The client's method, or the exchange's verb and path.
        library: The client library, or "raw HTTP".
    """

    code: OutdatedCode
    file: str
    line: int
    function: str
    call: str
    library: str


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a scan found.

    Attributes:
        root: The scanned file or folder.
        files: How many files were read.
        lines: How many lines they have.
        sites: The places that send, by file and line.
        outdated: The lines that speak to the exchange of before 2025-12-09, by file and line.
        reached_from: Functions further up, by the function of the bot that leads to a site.
        left_out: What was not read.
        unparsed: Files that were searched as text only, and why.
        python: The version of Python that read them.
    """

    root: str
    files: int
    lines: int
    sites: tuple[Site, ...]
    outdated: tuple[OutdatedCall, ...] = ()
    reached_from: dict[str, tuple[str, ...]] = {}
    left_out: tuple[LeftOut, ...] = ()
    unparsed: tuple[LeftOut, ...] = ()
    python: str = ""
