"""Send a call: the client's own method, called once with what the bot gave, or not at all."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from exit_shim.domain.decisions import Decision, Go, NeedsLook, Withhold
from exit_shim.gateway.nesting import within
from exit_shim.gateway.order_call import OrderCall
from exit_shim.runtime.context_variables import set_variable
from exit_shim.runtime.methods import name_after

if TYPE_CHECKING:
    from exit_shim.gateway.gateway import Gateway

Method = Callable[..., Any]


def carry_out(gateway: "Gateway", call: OrderCall, decision: Decision) -> Any:
    """Do what the judge has decided; return or raise what the caller gets."""
    if isinstance(decision, NeedsLook):
        gateway.look_outwards(call)
        if decision.is_awaited:
            call.pause()
            return name_after(call.method, look_and_send_async(gateway, call, decision))
        decision = look(gateway, call, decision)
    if isinstance(decision, Withhold):
        gateway.look_outwards(call)
        return carry_out_withheld(gateway, call, decision)
    call.touch = decision.touch
    if not call.intents and call.touch is None and call.nested is None:
        return pass_entry(gateway, call)
    if call.is_async:
        gateway.look_outwards(call)
        call.pause()
        count_coroutine(gateway, call)
        return name_after(call.method, send_async(gateway, call, call.method))
    return send(gateway, call, call.method)


def send(gateway: "Gateway", call: OrderCall, method: Method) -> Any:
    """Send, and conclude what comes back: a value, a coroutine, a future or an exception."""
    if call.touch is not None:
        touch(gateway, call)
    gateway.record_intents(call)
    outer = within.get()
    # Inside `try`: an interrupt during this line must not leave the variable set.
    try:
        set_variable(within, call.nested or outer)
        result = method(*call.args, **call.kwargs)
    except BaseException as error:
        fail(gateway, call, error)
        raise
    finally:
        # Directly: an interrupt could end a function of ours before it did this.
        within.set(outer)
    # A plain function around an async client.
    if type(result) is CoroutineType:
        gateway.look_outwards(call)
        count_coroutine(gateway, call)
        return name_after(method, follow(gateway, call, result))
    # Not `isinstance`: a lazy object's `__class__` acts.
    if issubclass(type(result), asyncio.Future):
        gateway.look_outwards(call)
        result.add_done_callback(functools.partial(conclude_future, gateway, call))
        return result
    conclude(gateway, call, result)
    return result


async def send_async(gateway: "Gateway", call: OrderCall, method: Method) -> Any:
    """Send, at the first step of the coroutine, and conclude what comes back."""
    call.restart()
    if call.touch is not None:
        touch(gateway, call)
    gateway.record_intents(call)
    try:
        sending = method(*call.args, **call.kwargs)
    except BaseException as error:
        fail(gateway, call, error)
        raise
    return await follow(gateway, call, sending)


async def follow(gateway: "Gateway", call: OrderCall, sending: Coroutine[Any, Any, Any]) -> Any:
    """Await what was sent, and conclude it."""
    outer = within.get()
    try:
        set_variable(within, call.nested or outer)
        result = await sending
    except BaseException as error:
        fail(gateway, call, error)
        raise
    finally:
        # Directly, as above.
        within.set(outer)
    conclude(gateway, call, result)
    return result


def conclude(gateway: "Gateway", call: OrderCall, result: Any) -> None:
    """Write down what a returned value says."""
    if call.touch is not None:
        touch(gateway, call)
    if call.nested is not None:
        gateway.look_outwards(call)
        call.nested.close()
        gateway.record_result(call, result)


def fail(gateway: "Gateway", call: OrderCall, error: BaseException) -> None:
    """Write down what an exception says."""
    if call.touch is not None:
        touch(gateway, call)
    if call.nested is not None:
        gateway.look_outwards(call)
        call.nested.close()
        gateway.record_failure(call, error)


def conclude_future(gateway: "Gateway", call: OrderCall, future: "asyncio.Future[Any]") -> None:
    """Write down what a future ended with."""
    if future.cancelled():
        fail(gateway, call, asyncio.CancelledError())
    # Not `exception()`: the loop would no longer tell of an error that nobody awaits.
    elif (error := future._exception) is not None:  # noqa: SLF001
        fail(gateway, call, error)
    else:
        conclude(gateway, call, future.result())


def touch(gateway: "Gateway", call: OrderCall) -> None:
    """Tell the judge that something happens at the exchange, if it wants to know."""
    if call.touch is not None:
        try:
            call.touch()
        except Exception as error:  # noqa: BLE001 - the order goes out all the same
            gateway.internal_errors.report("expire what was seen", error)


def pass_entry(gateway: "Gateway", call: OrderCall) -> Any:
    """Send a call that carries no exit."""
    result = call.method(*call.args, **call.kwargs)
    if type(result) is CoroutineType:
        count_coroutine(gateway, call)
    return result


def count_coroutine(gateway: "Gateway", call: OrderCall) -> None:
    """Count an entry that was answered with a coroutine, awaited or not."""
    if call.nested is None and call.door.operation != "query":
        gateway.count_entry_coroutine()


def look(gateway: "Gateway", call: OrderCall, decision: NeedsLook) -> Go | Withhold:
    """Let the judge look at the exchange; raise what ends that, such as the caller's time limit."""
    try:
        return decision.look()
    except BaseException as error:
        gateway.record_unsent(call, decision.unsent(), error)
        raise


async def look_and_send_async(gateway: "Gateway", call: OrderCall, decision: NeedsLook) -> Any:
    """Let the judge look at the exchange, then send or answer."""
    call.restart()
    try:
        after = await decision.look_async()
    except BaseException as error:
        gateway.record_unsent(call, decision.unsent(), error)
        raise
    if isinstance(after, Withhold):
        record_withheld(gateway, call, after)
        if after.rest_async is None:
            return after.answer()
        return await send_async(gateway, call, after.rest_async)
    call.touch = after.touch
    return await send_async(gateway, call, call.method)


def carry_out_withheld(gateway: "Gateway", call: OrderCall, decision: Withhold) -> Any:
    """Answer a call that is withheld as a whole or in part, and send the rest."""
    record_withheld(gateway, call, decision)
    if decision.rest is None:
        return decision.answer()
    return send(gateway, call, decision.rest)


def record_withheld(gateway: "Gateway", call: OrderCall, decision: Withhold) -> None:
    """Write down what is withheld, and keep in the call what goes out."""
    call.pause()
    call.touch = decision.touch
    for withheld in decision.orders:
        gateway.record_withheld(call, withheld.intent, withheld.answer)
    call.intents = decision.intents
    if decision.rest is not None:
        call.args, call.kwargs = decision.args, decision.kwargs
