"""What type checkers see of the public API; checked by mypy, never run."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from typing_extensions import assert_type

import exit_shim
from exit_shim.executor import ExitPlan, HardStop, PartialTake, Trail, at_fraction, at_r


class Adapter:
    """Somebody's own client."""

    def futures_create_order(self, symbol: str, **params: object) -> dict[str, int]:
        """Place an order."""
        raise NotImplementedError


def wrapping_keeps_the_type(adapter: Adapter, shim: exit_shim.ExitShim) -> None:
    """A wrapped client is, to a checker, the client: its methods and their answers."""
    assert_type(exit_shim.wrap(adapter), Adapter)
    assert_type(exit_shim.wrap(adapter, shim=shim), Adapter)
    assert_type(shim.wrap(adapter), Adapter)
    assert_type(exit_shim.unwrap(adapter), Adapter)
    assert_type(exit_shim.wrap(adapter).futures_create_order("BTCUSDT"), dict[str, int])
    exit_shim.wrap(adapter).futures_create_order(5)  # type: ignore[arg-type]
    exit_shim.wrap(adapter).futures_missing()  # type: ignore[attr-defined]
    exit_shim.wrap(adapter, shim="name")  # type: ignore[arg-type]


@exit_shim.attributed("position_monitor", kind="sl", explanation="why")
def place(symbol: str, price: float) -> int:
    """Sync and decorated."""
    return len(symbol) + int(price)


@exit_shim.attributed("position_monitor")
async def place_async(symbol: str) -> int:
    """Async and decorated."""
    return len(symbol)


def decorating_keeps_the_signature() -> tuple[Callable[[str, float], int], Callable[[str], Awaitable[int]]]:
    """A decorated function takes and gives what it did, a coroutine function too."""
    assert_type(place("BTCUSDT", 1.0), int)
    place("BTCUSDT", "1")  # type: ignore[arg-type]
    exit_shim.attributed(5)  # type: ignore[arg-type]
    return place, place_async


def carrying_keeps_the_signature() -> None:
    """What is carried takes and gives what it did."""
    assert_type(exit_shim.carry(place)("BTCUSDT", 1.0), int)
    exit_shim.carry(place)("BTCUSDT", "1")  # type: ignore[arg-type]
    exit_shim.carry(5)  # type: ignore[type-var]


async def awaiting() -> None:
    """What a decorated coroutine function yields, and `attributed` as a context manager."""
    assert_type(await place_async("BTCUSDT"), int)
    with exit_shim.attributed("position_monitor") as inside:
        assert_type(inside, exit_shim.attributed)
    await exit_shim.submit_exit_order("position_monitor", "BTCUSDT", {"type": "STOP"}, "sl", Adapter())
    await exit_shim.submit_exit_order(
        module_name="m",
        symbol="S",
        order_params={},
        order_kind="sl",
        client=Adapter(),
        explanation=None,
    )


def no_path_through_a_with_block_is_swallowed() -> int:
    """`attributed` swallows no exception, so a checker sees that a return inside always returns."""
    with exit_shim.attributed("position_monitor"):
        return 1


def the_names_of_a_legacy_gateway() -> None:
    """Modes and metrics have plain types."""
    assert_type(exit_shim.get_exit_mode(), str)
    assert_type(exit_shim.is_exit_brain_mode(), bool)
    assert_type(exit_shim.is_legacy_exit_mode(), bool)
    exit_shim.log_exit_metrics_summary()
    assert exit_shim.get_exit_order_metrics().get_summary()["total_orders"] >= 0


def configuring() -> None:
    """An ExitShim takes paths, False for no journal, roles and sinks; and is a place to install."""
    exit_shim.ExitShim(journal=False, mode="LEGACY", roles=exit_shim.Roles(), sinks=[], account="main")
    exit_shim.ExitShim(journal=True)  # type: ignore[arg-type]
    exit_shim.Roles(legacy=["a"])  # type: ignore[arg-type]
    with exit_shim.ExitShim().install():
        pass


@exit_shim.rule("TOO_LATE")
def too_late(case: exit_shim.RuleContext) -> str | None:
    """A rule of one's own keeps its type."""
    return f"symbol={case.order.symbol}" if case.operation == "place" else None


def guarding() -> None:
    """A policy is given as such or as a path; symbols are delegated, switches turned, a client watched."""
    exit_shim.ExitShim(policy=exit_shim.Policy(level="enforce", on_deny="simulate"))
    shim = exit_shim.ExitShim(policy="exit_shim.toml")
    exit_shim.ExitShim(policy=7)  # type: ignore[arg-type]
    exit_shim.Policy(level="loud")  # type: ignore[arg-type]
    exit_shim.delegate("BTCUSDT", to="exit_brain_executor", within=30)
    shim.switch(mode="EXIT_BRAIN_V3", enforce=False, by="the desk")
    shim.watch(Adapter(), every=60)
    exit_shim.watch(Adapter(), every=60, stream="wss://stream.example/")
    exit_shim.watch(Adapter(), stream=1)  # type: ignore[arg-type]
    exit_shim.feed_user_event({"e": "ALGO_UPDATE"}, Adapter())


def a_denied_order() -> None:
    """The exception has reasons; it is caught as python-binance's own."""
    try:
        place("BTCUSDT", 1.0)
    except exit_shim.ExitOrderDenied as denied:
        assert_type(denied.reasons[0].code, str)


def a_plan_takes_exact_numbers(take: PartialTake) -> None:
    """Texts, ints and Decimals are numbers, a float is not; what is read is a Decimal."""
    legs = (HardStop(at_fraction("0.02")), PartialTake("0.5", at_r(2)), Trail("0.008", 1))
    plan = ExitPlan(symbol="BTCUSDT", position_side="LONG", legs=legs)
    assert_type(plan.takes[0].share, Decimal)
    assert_type(take.at.fraction, Decimal | None)
    PartialTake(0.5, at_r(2))  # type: ignore[arg-type]
    at_r(0.5)  # type: ignore[arg-type]
