"""Rules on who acts where an owner was given the exits. Pure, given the book."""

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Target
from exit_shim.guard.book import Book
from exit_shim.guard.policy import CompiledPolicy
from exit_shim.guard.rules.context import Found, RuleContext


def legacy_fallback(case: RuleContext) -> Found:
    """A legacy module acts on a delegated symbol on which the owner has no live exit."""
    if (
        case.operation != "place"
        or case.delegated_to is None
        or case.standing.role not in {"legacy", "monitor"}
    ):
        return None
    if any(live.target.module == case.delegated_to for live in case.near.beside):
        return None
    return {"module": case.who.module, "delegated_to": case.delegated_to}


def is_guarded_by(book: Book, account: str | None, symbol: str, owner: str) -> bool:
    """Whether an owner has a live protective order on a symbol; no `account` means any."""
    return any(
        live.is_protective and live.target.module == owner and not live.in_doubt
        for position in book.positions()
        if position.symbol == symbol and account in (None, position.account)
        for live in book.exits_of(position)
    )


def is_owners(compiled_policy: CompiledPolicy, target: Target, symbol: str | None, mode: str) -> bool:
    """Whether an exit was placed by one who owns exits of its kind on its symbol."""
    if target.module is None:
        return False
    return compiled_policy.of(target.module, target.dotted_module, mode, symbol, target.kind).role == "owner"


def is_own(
    compiled_policy: CompiledPolicy, target: Target, symbol: str | None, who: Attribution, mode: str
) -> bool:
    """Whether a module placed an exit itself, as far as is known.

    Two modules may share a short name. One module may go by two dotted names, by how it was started: that
    makes another of it only where an owner is at stake.
    """
    if target.module != who.module:
        return False
    if None in (target.dotted_module, who.dotted_module) or target.dotted_module == who.dotted_module:
        return True
    return not is_owners(compiled_policy, target, symbol, mode)
