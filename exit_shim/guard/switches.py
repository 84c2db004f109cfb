"""The switches that can be turned while the bot runs; two attributes for the path of an order."""

from collections.abc import Callable

from exit_shim.domain.events import Switch


class Switches:
    """The state of the switches in this process.

    Attributes:
        enforcing: Whether the policy may hold orders back.
        mode: The mode that somebody switched to; None for what environment and code say.
        paused: The symbols that exit executors are to leave alone; always the same set.
        on_turn: Called with each switch once it is carried out.
    """

    __slots__ = ("_is_forced_off", "_is_switched_on", "enforcing", "mode", "on_turn", "paused")

    def __init__(self) -> None:
        self.enforcing = True
        self.mode: str | None = None
        self.paused: set[str] = set()
        self.on_turn: list[Callable[[Switch], object]] = []
        self._is_switched_on = True
        self._is_forced_off = False

    def turn(self, switch: Switch) -> None:
        """Carry out a switch."""
        if switch.mode is not None:
            self.mode = switch.mode or None
        if switch.enforce is not None:
            self._is_switched_on = switch.enforce == "on"
            self._update()
        if switch.symbol is not None and switch.protect is not None:
            (self.paused.add if switch.protect == "pause" else self.paused.discard)(switch.symbol)
        for on in self.on_turn:
            on(switch)

    def force_off(self, off: bool) -> None:
        """Follow the kill switch's file; while it is there it outranks every event."""
        self._is_forced_off = off
        self._update()

    def _update(self) -> None:
        self.enforcing = self._is_switched_on and not self._is_forced_off
