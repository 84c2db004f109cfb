"""What can be changed while the bot runs. Read on the order path as two attributes; set elsewhere."""

from exit_shim.records import Switch


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
