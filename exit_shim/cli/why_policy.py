"""What a policy would have done with the order that took the last stop away."""

from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from exit_shim.domain.events import Record
from exit_shim.domain.reason_codes import STRIPPED
from exit_shim.guard.policy import CompiledPolicy, Policy, PolicyError
from exit_shim.guard.policy.load import FILE_NAME, find_policy, parse_policy
from exit_shim.guard.policy.model import Mode, Rule
from exit_shim.guard.rules import custom_codes, custom_rules
from exit_shim.guard.whatif import Replay
from exit_shim.reports.situation import History

WORDS: Final = {
    "denied": "would have denied it",
    "overridden": "would have denied it, and let it through for lack of cover",
    "answered": "would have answered it: the stop would never have been sent",
    "nothing": "would not have let the stop be placed",
    "sent": "lets it through",
}
"""What becomes of an order, by the fates of `whatif`."""


class Ruling(NamedTuple):
    """What a policy does with an order.

    Attributes:
        policy: The policy's file; None for none.
        fate: As `whatif` has it; None where the policy has an error.
        codes: The reasons for it.
        text: All of it in words.
        enforced: The fate where every rule of it were at "enforce"; None where that was not asked.
    """

    policy: str | None
    fate: str | None
    codes: tuple[str, ...]
    text: str
    enforced: str | None = None


def rule_on(history: History, record: Record, named: str | None) -> Ruling:
    """Return what a policy would have done with an order, after all that was before it.

    Args:
        history: The orders of its symbol.
        record: The order.
        named: The policy's file; None for the one that a bot in this folder would take.
    """
    path = named or find_policy(Path.cwd())
    if path is None:
        fate, codes = decide(history, record, enforce_all(Policy()))
        words = f'one with rules.{STRIPPED} at "enforce" {WORDS[fate]}'
        return Ruling(None, None, codes, f"none here; {words}", fate)
    try:
        policy = parse_policy(Path(path).read_text(encoding="utf-8"), str(path), custom_codes())
    except (PolicyError, OSError, ValueError) as error:
        return Ruling(str(path), None, (), f"{path} is not in force: {error}")
    fate, codes = decide(history, record, policy)
    text = f"{Path(path).name} {WORDS[fate]}{codes_text(codes)}"
    if fate != "sent":
        return Ruling(str(path), fate, codes, text)
    enforced, codes = decide(history, record, enforce_all(policy))
    if enforced == "sent":
        return Ruling(str(path), fate, (), f"{text}, at any level", enforced)
    text = f'{text} as it is; at "enforce" it {WORDS[enforced]}{codes_text(codes)}'
    return Ruling(str(path), fate, codes, text, enforced)


def codes_text(codes: tuple[str, ...]) -> str:
    """Return reasons in brackets."""
    return f" ({', '.join(codes)})" if codes else ""


def enforce_all(policy: Policy) -> Policy:
    """Return a policy whose ownership rules, and the rule on stripping cancels, are enforced everywhere."""
    modes = {name: enforce_mode(mode) for name, mode in policy.modes.items()}
    stripped = msgspec.structs.replace(policy.rules.get(STRIPPED, Rule()), level="enforce")
    rules = {**policy.rules, STRIPPED: stripped}
    return msgspec.structs.replace(policy, level="enforce", rollout=1.0, modes=modes, rules=rules)


def enforce_mode(mode: Mode) -> Mode:
    """Return a mode whose ownership rules are enforced on all symbols."""
    rules = {code: level for code, level in mode.rules.items() if code != STRIPPED}
    return msgspec.structs.replace(mode, level="enforce", rollout=None, rules=rules)


def decide(history: History, record: Record, policy: Policy) -> tuple[str, tuple[str, ...]]:
    """Return an order's fate and the reasons for it."""
    replay = Replay(CompiledPolicy(policy, FILE_NAME), custom_rules(lambda *_: None))
    for each in (*history.placings, *history.records):
        findings = () if each.findings is None else each.findings.reasons
        fate, verdict = replay.take(each.intent, each.outcome, findings, each.resolution)
        if (each.run_id, each.seq) == (record.run_id, record.seq):
            codes = dict.fromkeys(reason.code for reason in verdict.reasons) if fate != "sent" else ()
            return fate, tuple(codes)
    return "sent", ()
