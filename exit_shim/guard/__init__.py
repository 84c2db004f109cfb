"""The guard: judges orders by the policy and the book, and stands in for what it holds back."""

from exit_shim.guard.cover import Gap
from exit_shim.guard.holding import Held, Holding, answer_query, end_suppressed
from exit_shim.guard.judging import Guard
from exit_shim.guard.settling import Place, Sights, let_go, unsent
from exit_shim.guard.switches import Switches

__all__ = [
    "Gap",
    "Guard",
    "Held",
    "Holding",
    "Place",
    "Sights",
    "Switches",
    "answer_query",
    "end_suppressed",
    "let_go",
    "unsent",
]
