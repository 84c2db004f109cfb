"""What can be changed while the bot runs. Read on the order path as two attributes; set elsewhere."""

from exit_shim.domain.events import Switch


class Switches:
    """The state of the switches in this process."""

    __slots__ = ("_forced_off", "_said", "enforcing", "mode")

    def __init__(self) -> None:
        self.enforcing = True
        self.mode: str | None = None
        self._said = True
        self._forced_off = False

    def turn(self, switch: Switch) -> None:
        """Do what a switch says."""
        if switch.mode is not None:
            self.mode = switch.mode or None
        if switch.enforce is not None:
            self._said = switch.enforce == "on"
            self.enforcing = self._said and not self._forced_off

    def force_off(self, off: bool) -> None:
        """The kill switch's file is there, or gone; while it is there it outranks every event."""
        self._forced_off = off
        self.enforcing = self._said and not off
