"""The guard: judges orders by the policy and the book, and stands in for what it holds back."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exit_shim.guard.cover import Gap
    from exit_shim.guard.judge import Guard
    from exit_shim.guard.protective_override import Place, Sights, override_denial, unsent
    from exit_shim.guard.switches import Switches
    from exit_shim.guard.withholding import WithheldAnswers, WithheldCall, answer_query, end_suppressed
else:
    # Commands that only read the journal must not wait for the rest.
    from exit_shim.runtime.lazy_names import on_first_use

    __getattr__ = on_first_use(
        __name__,
        {
            "exit_shim.guard.cover": ("Gap",),
            "exit_shim.guard.judge": ("Guard",),
            "exit_shim.guard.protective_override": ("Place", "Sights", "override_denial", "unsent"),
            "exit_shim.guard.switches": ("Switches",),
            "exit_shim.guard.withholding": (
                "WithheldAnswers",
                "WithheldCall",
                "answer_query",
                "end_suppressed",
            ),
        },
    )

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
