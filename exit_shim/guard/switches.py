"""What can be changed while the bot runs. Read on the order path as two attributes; set elsewhere."""

from typing import Literal

import msgspec


class Switch(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A switch that somebody turned: an event `mode` of the journal.

    `mode` is the new mode, "" for back to what environment and code say; `enforce` whether the policy may
    hold orders back. What is None stays as it was.
    """

    by: str
    mode: str | None = None
    enforce: Literal["on", "off"] | None = None


class Switches:
    """The state of the switches in this process."""

    __slots__ = ("enforcing", "forced_off", "mode")

    def __init__(self) -> None:
        self.enforcing = True
        self.mode: str | None = None
        self.forced_off = False

    def turn(self, switch: Switch) -> None:
        """Do what a switch says."""
        if switch.mode is not None:
            self.mode = switch.mode or None
        if switch.enforce is not None:
            self.enforcing = switch.enforce == "on" and not self.forced_off

    def force_off(self, off: bool) -> None:
        """The kill switch's file is there, or gone; it outranks every event."""
        if off:
            self.enforcing = False
        elif self.forced_off:
            self.enforcing = True
        self.forced_off = off
