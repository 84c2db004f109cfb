"""The guard: judges orders by the policy and the book, and stands in for what it holds back."""

from exit_shim.guard.cover import Gap
from exit_shim.guard.judge import Guard
from exit_shim.guard.protective_override import Place, Sights, override_denial, unsent
from exit_shim.guard.switches import Switches
from exit_shim.guard.withholding import WithheldAnswers, WithheldCall, answer_query, end_suppressed

__all__ = [
    "Gap",
    "Guard",
    "Place",
    "Sights",
    "Switches",
    "WithheldAnswers",
    "WithheldCall",
    "answer_query",
    "end_suppressed",
    "override_denial",
    "unsent",
]
