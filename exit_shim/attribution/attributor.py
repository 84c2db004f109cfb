"""Who asked for a call, in which mode, and on whose account: what the gateway asks once for each order."""

import functools
from collections.abc import Callable
from typing import Any

from exit_shim.attribution.attribute import attribute
from exit_shim.attribution.stack import CallSite, Frame, SiteFinder
from exit_shim.domain.attributions import Attribution


class Attributor:
    """Names the module that asked.

    Args:
        finder: Walks the stack.
        current_mode: Returns the mode in force.
        account_of: Returns the label of the account behind a client's method.
    """

    def __init__(
        self,
        finder: SiteFinder,
        current_mode: Callable[[], str],
        account_of: Callable[[Any], str | None],
    ) -> None:
        self.finder = finder
        self.current_mode = current_mode
        self.account_of = account_of
        self.attribute: Callable[[Frame | None, CallSite | None], tuple[Attribution, Frame | None]] = (
            functools.partial(attribute, finder)
        )
        """Returns who asked, and the frame that asked where it is still there."""
