"""The events of an order's life: what is written down before it leaves, and what came of it."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from exit_shim.attribution import Attribution
from exit_shim.doors import Intent, Store
from exit_shim.frames import Step
from exit_shim.orders import ExitOrder, Kind
from exit_shim.policy import ALLOWED, Action, Verdict, is_loud

Outcome = Literal["accepted", "rejected", "denied", "suppressed", "unknown", "not_sent"]
"""`denied` is our word, `rejected` the exchange's; `unknown` means that the order may rest there."""


class Target(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An order that a cancel or change is about: its ids, what it was for, and which module placed it.

    `kind` is "unknown" and `module` None where this process did not see it placed.
    """

    kind: Kind
    module: str | None = None
    dotted_module: str | None = None
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None


class Submission(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An order, or a cancel or change of some, about to leave: what, by whom, judged how.

    `ts` is nanoseconds since the epoch; `targets` are the orders that a cancel or change is about; of a
    cancel-all, `store` is what it reaches.
    """

    ts: int
    door: str
    intent: Intent
    order: ExitOrder
    attribution: Attribution
    mode: str
    verdict: Verdict = ALLOWED
    account: str | None = None
    batch_index: int | None = None
    targets: tuple[Target, ...] = ()
    store: Store | None = None


class Conclusion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the exchange's answer, or its silence, proves.

    `presend_us` is what the shim added before the send; `total_us` the whole call as the bot saw it,
    the exchange included. Both in microseconds. `chain` goes on where that of the attribution ends, at who
    asked: to look there takes time that an order does not have before it is sent.
    """

    outcome: Outcome
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    error_code: int | None = None
    error_message: str | None = None
    presend_us: float = 0.0
    total_us: float = 0.0
    chain: tuple[Step, ...] = ()


class Resolution(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a later look at the exchange proved of an order that was in doubt.

    `outcome`: "accepted", it was there; "rejected", it was refused; "not_there", it never was, as far as
    `evidence` shows: each question with its answer. Of a cancel or change: "accepted", it took effect;
    "not_there", the orders that it is about are as they were, or ended in another way. `status` is the
    exchange's own word. `asked` counts the requests spent, `after_s` is seconds since the intent.
    """

    outcome: Literal["accepted", "rejected", "not_there"]
    status: str | None = None
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    evidence: tuple[str, ...] = ()
    asked: int = 0
    after_s: float = 0.0


class Lost(msgspec.Struct, frozen=True):
    """Events that are not in the journal, and why not."""

    why: str
    events: int


class Switch(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A switch that somebody turned while bots run: an event `mode`.

    `mode` is the new mode, "" for back to what environment and code say; `enforce` whether the policy may
    hold orders back. What is None stays as it was.
    """

    by: str
    mode: str | None = None
    enforce: Literal["on", "off"] | None = None


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the guard found about no single order, such as a stop that did not come: an event `finding`."""

    reason: str
    symbol: str | None = None
    account: str | None = None


class Findings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the rules that only warn found about an order, soon after it was concluded: an event `findings`.

    `book` is the live exits around it at that moment, in words.
    """

    reasons: tuple[str, ...]
    book: tuple[str, ...] = ()


UNREAD: Final = "read a call of the door "
"""The step, before the door's name, of the first call of a declared door that was not read as an order."""


class Failure(msgspec.Struct, frozen=True):
    """A failure of the shim's own: in which step, and what it said."""

    step: str
    error: str


class Ended(msgspec.Struct, frozen=True):
    """The end of a process that came to one in good order; how many events it had written before."""

    events: int


class Record(msgspec.Struct, frozen=True):
    """One order as the journal knows it.

    Without a conclusion, or with an unknown one, it is in doubt until a resolution tells. `sent_at` is when
    the client's method was called, in seconds since the epoch; None where the guard held the order back, and
    of a record that was read from a journal.
    """

    run_id: str
    seq: int
    submission: Submission
    conclusion: Conclusion | None = None
    resolution: Resolution | None = None
    findings: Findings | None = None
    sent_at: float | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """All that the guard found, before the send and after it."""
        return self.submission.verdict.reasons + (self.findings.reasons if self.findings else ())

    @property
    def book(self) -> tuple[str, ...]:
        """The live exits that the guard saw around it, in words; none where it found nothing."""
        return self.submission.verdict.book or (self.findings.book if self.findings else ())

    @property
    def action(self) -> Action:
        """What the guard did: `warn` too where only a rule that is asked after the send did."""
        action = self.submission.verdict.action
        return "warn" if action == "allow" and any(map(is_loud, self.reasons)) else action

    @property
    def is_held(self) -> bool:
        """Whether the guard held it back, so that nothing was sent."""
        return self.conclusion is not None and self.conclusion.outcome in {"denied", "suppressed"}

    @property
    def chain(self) -> tuple[Step, ...]:
        """All frames that are known, nearest to the client first, who asked and what led there among them."""
        inner = self.submission.attribution.chain
        return inner if self.conclusion is None else inner + self.conclusion.chain

    def flat(self) -> dict[str, Any]:
        """One level of JSON-ready keys, the same for every record: the line that `records --json` prints.

        `outcome` is null while nothing is known of the order: in doubt. Amounts are strings.
        """
        submission, conclusion = self.submission, self.conclusion or _NOT_CONCLUDED
        order, who = submission.order, submission.attribution
        known = self.resolution or conclusion
        fields = {
            "ts": submission.ts,
            "run_id": self.run_id,
            "seq": self.seq,
            "account": submission.account,
            "door": submission.door,
            "intent": submission.intent,
            "symbol": order.symbol,
            "side": order.side,
            "position_side": order.position_side,
            "type": order.type,
            "kind": order.kind,
            "quantity": order.quantity,
            "price": order.price,
            "trigger_price": order.trigger_price,
            "activation_price": order.activation_price,
            "callback_rate": order.callback_rate,
            "close_position": order.close_position,
            "reduce_only": order.reduce_only,
            "time_in_force": order.time_in_force,
            "working_type": order.working_type,
            "client_order_id": known.client_order_id or order.client_order_id,
            "batch_index": submission.batch_index,
            "targets": submission.targets,
            "module": who.module,
            "dotted_module": who.dotted_module,
            "function": who.function,
            "file": who.file,
            "line": who.line,
            "via": who.via,
            "chain": [
                {"module": step.module, "part": step.part, "function": step.function, "line": step.line}
                for step in self.chain
            ],
            "evidence": who.evidence,
            "explanation": who.explanation,
            "mode": submission.mode,
            "verdict": self.action,
            "reasons": self.reasons,
            "policy": submission.verdict.policy,
            "book": self.book,
            "outcome": conclusion.outcome if self.conclusion else None,
            "resolution": None if self.resolution is None else self.resolution.outcome,
            "order_id": known.order_id,
            "algo_id": known.algo_id,
            "error_code": conclusion.error_code,
            "error_message": conclusion.error_message,
            "presend_us": conclusion.presend_us if self.conclusion and not self.is_held else None,
            "total_us": conclusion.total_us if self.conclusion else None,
        }
        plain: dict[str, Any] = msgspec.to_builtins(fields)
        return plain


_NOT_CONCLUDED = Conclusion(outcome="unknown")

DECODERS: Final[Mapping[type[msgspec.Struct], msgspec.json.Decoder[Any]]] = {
    event: msgspec.json.Decoder(event)
    for event in (Submission, Conclusion, Findings, Resolution, Switch, Finding, Failure, Lost, Ended)
}
"""What reads each event's body. Made at once, and here: where two threads are the first to have msgspec
(0.22.0) read into a class, it crashes the process, and the bot with it."""
