"""Define the events of an order's life, and the record that they make together."""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from exit_shim.domain.attributions import Attribution, Step
from exit_shim.domain.orders import ExitOrder, Kind, Operation, Reach, Store
from exit_shim.domain.verdicts import ALLOWED, Action, Reason, Verdict

Result = Literal["accepted", "rejected", "denied", "simulated", "unknown", "not_sent"]
"""`denied` is our word, `rejected` the exchange's; `unknown` means that the order may rest there."""


Source: TypeAlias = Literal["poller", "stream", "executor", "watch"]
"""What told of an order or position at the exchange."""


class Target(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Name an order that a cancel or change is about: its ids, what it was for, and who placed it.

    `kind` is "unknown" and `module` None where this process did not see it placed.
    """

    kind: Kind
    module: str | None = None
    dotted_module: str | None = None
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None


def common_kind(targets: tuple[Target, ...]) -> Kind:
    """Return the kind of the orders that a cancel removes; "unknown" where there are several kinds."""
    kinds = {target.kind for target in targets}
    return kinds.pop() if len(kinds) == 1 else "unknown"


class Intent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say which order, change or cancel is about to leave, who asked for it, and how it was judged.

    `ts` is nanoseconds since the epoch; `targets` are the orders that a cancel or change is about; of a
    cancel-all, `store` is what it reaches. Where `is_bridged`, the bridge carries it out; the outcome says
    what it sent.
    """

    ts: int
    door: str
    operation: Operation
    order: ExitOrder
    attribution: Attribution
    mode: str
    verdict: Verdict = ALLOWED
    account: str | None = None
    batch_index: int | None = None
    targets: tuple[Target, ...] = ()
    store: Reach | None = None
    is_bridged: bool = False


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """Say what the exchange's answer, or its silence, proves about an intent.

    `presend_us` is what the shim added before the send; `total_us` the whole call as the bot saw it,
    the exchange included. Both in microseconds. `chain` continues that of the attribution beyond the module
    that asked; it is captured after the send. `sent` are the requests that the bridge sent in the place of
    the call, verbs and paths; empty where the call went out unchanged.
    """

    result: Result
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    error_code: int | None = None
    error_message: str | None = None
    presend_us: float = 0.0
    total_us: float = 0.0
    chain: tuple[Step, ...] = ()
    sent: tuple[str, ...] = ()


class Resolution(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say what a later look at the exchange proved about an order in doubt.

    `outcome`: "accepted", it was there; "rejected", it was refused; "not_there", it never was, as far as
    `evidence` shows: each question with its answer. Of a cancel or change: "accepted", it took effect;
    "not_there", the orders that it is about are as they were, or ended in another way. `status` is the
    exchange's own word. `asked` counts the requests spent, `after_s` is seconds since the intent.
    """

    result: Literal["accepted", "rejected", "not_there"]
    status: str | None = None
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    evidence: tuple[str, ...] = ()
    asked: int = 0
    after_s: float = 0.0


class Lost(msgspec.Struct, frozen=True):
    """Say how many events could not be kept, and why."""

    why: str
    events: int


class Switch(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say who switched the mode, whether the policy may hold orders back, or an executor's work on a symbol.

    `mode` is the new mode, "" for back to what environment and code say; `enforce` whether the policy may
    hold orders back; `protect` whether exit executors act on `symbol`. What is None stays as it was.
    """

    by: str
    mode: str | None = None
    enforce: Literal["on", "off"] | None = None
    protect: Literal["pause", "resume"] | None = None
    symbol: str | None = None


class ExecutorStep(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say what the exit executor is about to do for a position, and why; written before it is sent.

    The last step of a position has all that is needed to take up its protection in another process.

    Attributes:
        account: The account's label.
        symbol: The symbol.
        position_side: As the exchange has it: BOTH, LONG or SHORT.
        episode: Names the position from the moment it opened until it is flat, in client order ids.
        verb: "begin" and "end" of an episode; "place", "amend", "cancel" or "close" of an order; "plan" for a
            plan that comes into force, "refuse" for one that does not, "note" for what was learnt.
        why: A sentence for people.
        leg: The leg of the plan; None where it is about none.
        client_order_id: The order's id.
        order_id: The id that the exchange gave it, of an order that is amended or cancelled.
        type: The order's type.
        quantity: As text; None for the whole position.
        trigger: The trigger price, as text.
        price: The price, as text.
        guarded: How much of the position stops close before the step, as text.
        plan_id: The plan in force.
        revision: Its revision.
        state: The rest of what the executor knows of the episode: names and values as text.
        taken: What each take's order has closed, by client order id.
        numbers: The number of each leg's last order.
    """

    account: str | None = None
    symbol: str
    position_side: str
    episode: str
    verb: Literal["begin", "plan", "refuse", "place", "amend", "cancel", "close", "note", "end"]
    why: str
    leg: str | None = None
    client_order_id: str | None = None
    order_id: str | None = None
    type: str | None = None
    quantity: str | None = None
    trigger: str | None = None
    price: str | None = None
    guarded: str | None = None
    plan_id: str | None = None
    revision: int | None = None
    state: Mapping[str, str] = msgspec.field(default_factory=dict)
    taken: Mapping[str, str] = msgspec.field(default_factory=dict)
    numbers: Mapping[str, int] = msgspec.field(default_factory=dict)


class PositionSeen(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say how a position was seen at the exchange; recorded when it changes, and about once a minute.

    A position that its stops do not cover is recorded at each look, at most every 5 s.

    Attributes:
        account: The account's label.
        symbol: The symbol.
        position_side: As the exchange has it: BOTH, LONG or SHORT.
        amount: How much is held, as text; negative for a short position, "0" for a flat one.
        entry_price: Its average entry price, as text.
        mark_price: The symbol's mark price, as text.
        exits: The ids of the exits that the exchange listed for it, of both order stores; None where the
            orders were not read, as in an event of the user data stream.
        guarded: How much of it the listed stops close, as text; None where the orders were not read. A
            trailing stop counts once it is activated.
        source: What saw it: the poller, the user data stream, the exit executor or `exit-shim watch`.
        asked: When the exchange was asked, in nanoseconds since the epoch; None for an event of the stream.
        again_s: Within how many seconds the source says it again; older knowledge may be wrong.
        at: When the position changed last, by the exchange's clock, in nanoseconds since the epoch.
    """

    account: str | None = None
    symbol: str
    position_side: str
    amount: str
    entry_price: str | None = None
    mark_price: str | None = None
    exits: tuple[str, ...] | None = None
    guarded: str | None = None
    source: Source
    asked: int | None = None
    again_s: float = 0.0
    at: int | None = None


class ExchangeUpdate(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say what the exchange told of an exit order, whoever placed it.

    Attributes:
        account: The account's label.
        symbol: The symbol.
        side: BUY or SELL.
        position_side: As the exchange has it: BOTH, LONG or SHORT.
        store: Which of the exchange's two order stores it is in.
        status: The exchange's own word, such as NEW, TRIGGERED, FILLED, CANCELED or EXPIRED. "GONE" is ours:
            it was listed before, and is not any more.
        type: The order's type.
        kind: What it is for.
        quantity: As text; None for the whole position.
        trigger: The trigger price, as text.
        price: The price, as text.
        order_id: The id of an order.
        algo_id: The id of a conditional order.
        client_order_id: The id that the bot gave it.
        became: The id of the order that a conditional one became.
        source: What heard or saw it.
        at: When it happened, by the exchange's clock, in nanoseconds since the epoch.
    """

    account: str | None = None
    symbol: str
    side: str
    position_side: str
    store: Store
    status: str
    type: str
    kind: Kind
    quantity: str | None = None
    trigger: str | None = None
    price: str | None = None
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    became: int | None = None
    source: Source
    at: int | None = None


AlertStage: TypeAlias = Literal["first", "reminder", "over"]
"""The first message about something, one that says that it lasts, or the one that says that it is over."""


class AlertSent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say that somebody was alerted, or could not be.

    Attributes:
        alert: The kind of alert: "bare", "in_doubt", "denied", "enforcement", "lost", "hands_off", "blind",
            "digest", "test".
        key: What it is about, so that the same is not sent twice: account, symbol and side, or an order's id.
        title: The first line of the message.
        text: The rest of the message.
        stage: "first", a "reminder", or "over".
        since: When the trouble began, in nanoseconds since the epoch; None for what has no end.
        to: The names of the services that took it, such as "tgram"; never an address.
        is_sent: Whether all services took it; False also where none is configured.
        error: Which services failed, and why.
    """

    alert: str
    key: str
    title: str
    text: str
    stage: AlertStage = "first"
    since: int | None = None
    to: tuple[str, ...] = ()
    is_sent: bool = True
    error: str | None = None


class GuardFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Say what the guard found that is about no single order, such as a stop that did not come."""

    reason: Reason
    symbol: str | None = None
    account: str | None = None


class OrderFindings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Say what the rules that only warn found about an order, soon after its outcome.

    `book` is the live exits around it at that moment, in words.
    """

    reasons: tuple[Reason, ...]
    book: tuple[str, ...] = ()


UNREAD: Final = "read a call of the door "
"""The step, before the door's name, of the first call of a declared door that was not read as an order."""


class InternalError(msgspec.Struct, frozen=True):
    """Say which step of the shim failed, the first time of its kind, and how."""

    step: str
    error: str


class RunStarted(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say that a run begins: in which process, with which versions and settings.

    `configuration` is a digest that tells one configuration from another.
    """

    host: str | None = None
    pid: int | None = None
    python: str | None = None
    versions: Mapping[str, str | None] = msgspec.field(default_factory=dict)
    sync: str | None = None
    account: str | None = None
    configuration: str | None = None


class RunEnded(msgspec.Struct, frozen=True):
    """Say that the process ended in good order, and how many events it had written."""

    events: int


def warn_if_found(action: Action, reasons: tuple[Reason, ...]) -> Action:
    """Return what the guard did, once the rules that only warn were asked too."""
    has_found = any(not reason.is_observed for reason in reasons)
    return "warn" if action == "allow" and has_found else action


class Record(msgspec.Struct, frozen=True):
    """Hold everything that is recorded of one order.

    Without an outcome, or with an unknown one, it is in doubt until a resolution. `sent_at` is when
    the client's method was called, in seconds since the epoch; None where the guard held the order back, and
    of a record that was read from a journal.
    """

    run_id: str
    seq: int
    intent: Intent
    outcome: Outcome | None = None
    resolution: Resolution | None = None
    findings: OrderFindings | None = None
    sent_at: float | None = None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Everything that the guard found, before the send and after it."""
        return self.intent.verdict.reasons + (self.findings.reasons if self.findings else ())

    @property
    def book(self) -> tuple[str, ...]:
        """The live exits around it that the guard saw, in words; empty where it found nothing."""
        return self.intent.verdict.book or (self.findings.book if self.findings else ())

    @property
    def action(self) -> Action:
        """The guard's action; "warn" also where only a rule warned that is asked after the send."""
        return warn_if_found(self.intent.verdict.action, self.reasons)

    @property
    def is_held(self) -> bool:
        """True if the guard held it back, so that nothing was sent."""
        return self.outcome is not None and self.outcome.result in {"denied", "simulated"}

    @property
    def chain(self) -> tuple[Step, ...]:
        """All known frames, nearest to the client first."""
        inner = self.intent.attribution.chain
        return inner if self.outcome is None else inner + self.outcome.chain

    def flat(self) -> dict[str, Any]:
        """Return one level of JSON-ready keys, the same for every record, as `records --json` prints them.

        `outcome` is null while nothing is known of the order. Amounts are strings.
        """
        intent, outcome = self.intent, self.outcome or _NOT_CONCLUDED
        order, who = intent.order, intent.attribution
        answer = self.resolution or outcome
        fields = {
            "ts": intent.ts,
            "run_id": self.run_id,
            "seq": self.seq,
            "account": intent.account,
            "door": intent.door,
            "operation": intent.operation,
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
            "client_order_id": answer.client_order_id or order.client_order_id,
            "batch_index": intent.batch_index,
            "targets": intent.targets,
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
            "mode": intent.mode,
            "verdict": self.action,
            "reasons": [str(reason) for reason in self.reasons],
            "policy": intent.verdict.policy,
            "book": self.book,
            "outcome": outcome.result if self.outcome else None,
            "resolution": None if self.resolution is None else self.resolution.result,
            "order_id": answer.order_id,
            "algo_id": answer.algo_id,
            "error_code": outcome.error_code,
            "error_message": outcome.error_message,
            "is_bridged": intent.is_bridged,
            "sent": outcome.sent,
            "presend_us": outcome.presend_us if self.outcome and not self.is_held else None,
            "total_us": outcome.total_us if self.outcome else None,
        }
        plain: dict[str, Any] = msgspec.to_builtins(fields)
        return plain


_NOT_CONCLUDED = Outcome(result="unknown")

Event: TypeAlias = (
    Intent
    | Outcome
    | OrderFindings
    | Resolution
    | Switch
    | ExecutorStep
    | PositionSeen
    | ExchangeUpdate
    | AlertSent
    | GuardFinding
    | InternalError
    | Lost
    | RunStarted
    | RunEnded
)
"""Everything that a journal records. A new kind is one struct, a line here and one in `EVENT_NAMES`."""

EVENT_NAMES: Final[Mapping[type[Event], str]] = {
    Intent: "intent",
    Outcome: "outcome",
    OrderFindings: "order_findings",
    Resolution: "resolution",
    Switch: "switch",
    ExecutorStep: "executor_step",
    PositionSeen: "position_seen",
    ExchangeUpdate: "exchange_update",
    AlertSent: "alert_sent",
    GuardFinding: "guard_finding",
    InternalError: "internal_error",
    Lost: "lost",
    RunStarted: "run_started",
    RunEnded: "run_ended",
}
"""The name of each kind of event in journals, central databases and docs."""

# Made at import: msgspec 0.22.0 crashes the process where two threads are the first to decode a class.
DECODERS: Final[Mapping[type[msgspec.Struct], msgspec.json.Decoder[Any]]] = {
    event: msgspec.json.Decoder(event) for event in EVENT_NAMES
}
"""The decoder of each kind of event."""

Bodies: TypeAlias = tuple[str, str | None, str | None, str | None]
"""An order as JSON: its intent, outcome, findings and resolution."""
