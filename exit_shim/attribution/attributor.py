"""Who asked for a call, in which mode, and on whose account, as the gateway asks for it."""

import functools
from collections.abc import Callable
from typing import Any

from exit_shim.attribution.attribute import attribute, declared
from exit_shim.attribution.stack import SiteFinder
from exit_shim.domain.attributions import Attribution, Declared, Frame


class StackAttributor:
    """Name the module that asked by the stack, or by what was declared, carried along or remembered.

    Args:
        finder: Walks the stack.
        current_mode: Returns the mode in force.
        account_of: Returns the label of the account behind a client's method, or of an `identity`.
    """

    def __init__(
        self, finder: SiteFinder, current_mode: Callable[[], str], account_of: Callable[..., str | None]
    ) -> None:
        self.finder = finder
        self.declared: Callable[[], Declared | None] = declared.get
        self.attribute: Callable[[Frame | None, Any], tuple[Attribution, Frame | None]] = functools.partial(
            attribute, finder
        )
        self.current_mode = current_mode
        self.account_of = account_of
