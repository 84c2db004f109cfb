"""The guard: judges orders by the policy and the book, and stands in for what it holds back."""

from exit_shim.guard.holding import Held, Holding, answer_query, end_suppressed
from exit_shim.guard.judging import Guard
from exit_shim.guard.settling import let_go
from exit_shim.guard.switches import Switches

__all__ = ["Guard", "Held", "Holding", "Switches", "answer_query", "end_suppressed", "let_go"]
