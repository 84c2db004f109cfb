"""Rules on who acts where an owner holds the exits. Pure, given the book."""

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Intent, Target
from exit_shim.guard.book import Book
from exit_shim.guard.policy import CompiledPolicy
from exit_shim.guard.rules.context import RuleContext, RuleResult


def legacy_fallback(context: RuleContext) -> RuleResult:
    """Find a legacy module that acts on a delegated symbol on which the owner has no live exit."""
    if (
        context.operation != "place"
        or context.delegated_to is None
        or context.grant.role not in {"legacy", "monitor"}
    ):
        return None
    if any(live.target.module == context.delegated_to for live in context.book.beside):
        return None
    return {"module": context.who.module, "delegated_to": context.delegated_to}


def is_guarded_by(book: Book, account: str | None, symbol: str, owner: str) -> bool:
    """Return whether an owner has a live stop on a symbol; `account` None means any."""
    return any(
        live.is_protective and live.target.module == owner and not live.in_doubt
        for position in book.positions()
        if position.symbol == symbol and account in (None, position.account)
        for live in book.exits_of(position)
    )


def is_owners(compiled_policy: CompiledPolicy, target: Target, symbol: str | None, mode: str) -> bool:
    """Return whether an exit was placed by an owner of exits of its kind on its symbol."""
    if target.module is None:
        return False
    grant = compiled_policy.grant_for(target.module, target.dotted_module, mode, symbol, target.kind)
    return grant.role == "owner"


def is_sent_by_owner(compiled_policy: CompiledPolicy, intent: Intent, symbol: str | None) -> bool:
    """Return whether an owner of stops on a symbol asks for an order."""
    who = intent.attribution
    return compiled_policy.grant_for(who.module, who.dotted_module, intent.mode, symbol, "sl").role == "owner"


def is_own(
    compiled_policy: CompiledPolicy, target: Target, symbol: str | None, who: Attribution, mode: str
) -> bool:
    """Return whether a module placed an exit itself, as far as is known."""
    if target.module != who.module:
        return False
    if None in (target.dotted_module, who.dotted_module) or target.dotted_module == who.dotted_module:
        return True
    # Two modules may share a short name, and one may have two dotted names, by how it was started. They
    # count as two modules only where an owner is at stake.
    return not is_owners(compiled_policy, target, symbol, mode)
