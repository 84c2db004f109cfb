"""The tables and views of the central database."""

from typing import Final

from exit_shim.sinks.postgres.rows import COLUMNS

EVENTS: Final = f"""
CREATE TABLE exit_shim.versions (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now());
CREATE TABLE exit_shim.runs (
    run_id text PRIMARY KEY,
    host text,
    pid bigint,
    started bigint NOT NULL,
    header text NOT NULL,
    base_pos bigint NOT NULL,
    base_head bytea NOT NULL
);
CREATE TABLE exit_shim.events (
    at timestamptz NOT NULL,
    {", ".join(map(" ".join, COLUMNS.items()))},
    PRIMARY KEY (run_id, seq, at)
) PARTITION BY RANGE (at);
ALTER TABLE exit_shim.events
    ALTER COLUMN pos SET NOT NULL, ALTER COLUMN ts SET NOT NULL, ALTER COLUMN event SET NOT NULL,
    ALTER COLUMN body SET NOT NULL, ALTER COLUMN link SET NOT NULL;
CREATE TABLE exit_shim.events_other PARTITION OF exit_shim.events DEFAULT;
CREATE INDEX events_chain ON exit_shim.events (run_id, pos);
CREATE INDEX events_steps ON exit_shim.events (ts) WHERE event = 'executor_step';
CREATE INDEX events_facts ON exit_shim.events (event, ts)
    WHERE event NOT IN ('intent', 'outcome', 'order_findings', 'resolution');
CREATE INDEX events_names ON exit_shim.events USING gin (names);
"""
"""An event is identified by its run and `seq`. The key has `at` too, as partitions demand: it follows from
`ts`, which the event's link covers, so it is the same if the event is sent again."""

ORDERS: Final = """
CREATE TABLE exit_shim.sites (
    site uuid PRIMARY KEY,
    module text NOT NULL,
    operation text NOT NULL,
    kind text NOT NULL,
    function text NOT NULL,
    place text NOT NULL,
    via text NOT NULL,
    evidence text NOT NULL
);
CREATE TABLE exit_shim.order_states (
    at timestamptz NOT NULL,
    run_id text NOT NULL,
    seq bigint NOT NULL,
    ts bigint NOT NULL,
    site uuid NOT NULL,
    module text NOT NULL,
    host text,
    account text,
    symbol text,
    mode text NOT NULL,
    conflict boolean NOT NULL,
    state text NOT NULL,
    result text,
    before_ns bigint,
    total_ns bigint,
    reasons text[],
    victims text[],
    stack bigint,
    later_stack bigint,
    outcome_seq bigint,
    outcome_at timestamptz,
    findings_seq bigint,
    findings_at timestamptz,
    resolution_run text,
    resolution_seq bigint,
    resolution_at timestamptz,
    PRIMARY KEY (run_id, seq, at)
) PARTITION BY RANGE (at);
CREATE TABLE exit_shim.order_states_other PARTITION OF exit_shim.order_states DEFAULT;
CREATE INDEX order_states_time ON exit_shim.order_states (ts);
CREATE INDEX order_states_module ON exit_shim.order_states (module, ts);
CREATE INDEX order_states_symbol ON exit_shim.order_states (symbol, ts);
CREATE INDEX order_states_account ON exit_shim.order_states (account, ts);
CREATE INDEX order_states_rare ON exit_shim.order_states (state, ts) WHERE state <> 'accepted';
CREATE INDEX order_states_reasons ON exit_shim.order_states USING gin (reasons) WHERE reasons IS NOT NULL;
CREATE TABLE exit_shim.early (
    run_id text NOT NULL,
    seq bigint NOT NULL,
    event_run text NOT NULL,
    event_seq bigint NOT NULL,
    event_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, seq, event_run, event_seq)
);
CREATE TABLE exit_shim.strays (
    name text NOT NULL,
    run_id text NOT NULL,
    seq bigint NOT NULL,
    number integer NOT NULL,
    PRIMARY KEY (name, run_id, seq, number)
);
CREATE INDEX strays_orders ON exit_shim.strays (run_id, seq);
"""
"""`order_states` has a row for each order: what became of it, and where its events are.

It is made by the trigger from the events, and its month can be dropped as theirs can. `early` names events
that came before the order that they are about, `strays` the ids of orders that a cancel took and of which it
is not known who placed them.
"""

ROLLUPS: Final = """
CREATE TABLE exit_shim.tally (
    span bigint NOT NULL,
    place bigint NOT NULL,
    site uuid NOT NULL,
    mode text NOT NULL,
    state text NOT NULL,
    orders bigint NOT NULL,
    conflicts bigint NOT NULL,
    PRIMARY KEY (span, place, site, mode, state)
);
CREATE TABLE exit_shim.fights (
    span bigint NOT NULL,
    place bigint NOT NULL,
    site uuid NOT NULL,
    victim text NOT NULL,
    orders bigint NOT NULL,
    PRIMARY KEY (span, place, site, victim)
);
CREATE TABLE exit_shim.findings (
    span bigint NOT NULL,
    place bigint NOT NULL,
    code text NOT NULL,
    site uuid NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (span, place, code, site)
);
CREATE TABLE exit_shim.latencies (
    span bigint NOT NULL,
    place bigint NOT NULL,
    measure text NOT NULL,
    bucket integer NOT NULL,
    orders bigint NOT NULL,
    sum_ns bigint NOT NULL,
    PRIMARY KEY (span, place, measure, bucket)
);
CREATE TABLE exit_shim.stacks (
    module text NOT NULL,
    evidence text NOT NULL,
    stack bigint NOT NULL,
    later_stack bigint NOT NULL,
    last bigint NOT NULL,
    ts bigint NOT NULL,
    intent text NOT NULL,
    outcome text NOT NULL,
    PRIMARY KEY (module, evidence, stack, later_stack)
);
CREATE TABLE exit_shim.positions (
    account text NOT NULL,
    symbol text NOT NULL,
    position_side text NOT NULL,
    ts bigint NOT NULL,
    run_id text NOT NULL,
    seq bigint NOT NULL,
    pos bigint NOT NULL,
    body text NOT NULL,
    link bytea NOT NULL,
    PRIMARY KEY (account, symbol, position_side)
);
"""
"""Counts by hour and day, each stack with one order that came by it, and the last sight of each position."""

VIEWS: Final = """
CREATE VIEW exit_shim.orders AS
SELECT
    own.at, own.ts, own.run_id, own.seq, own.host, own.account, own.module,
    own.symbol, sites.operation, sites.kind, sites.function, sites.place, sites.via, sites.evidence,
    own.mode, own.conflict, own.stack, own.later_stack, own.state, own.reasons, own.victims,
    intent.body AS intent, outcome.body AS outcome, resolution.body AS resolution, findings.body AS findings
FROM exit_shim.order_states AS own
JOIN exit_shim.sites USING (site)
JOIN exit_shim.events AS intent
    ON intent.run_id = own.run_id AND intent.seq = own.seq AND intent.at = own.at
LEFT JOIN exit_shim.events AS outcome
    ON outcome.run_id = own.run_id AND outcome.seq = own.outcome_seq AND outcome.at = own.outcome_at
LEFT JOIN exit_shim.events AS findings
    ON findings.run_id = own.run_id AND findings.seq = own.findings_seq AND findings.at = own.findings_at
LEFT JOIN exit_shim.events AS resolution
    ON resolution.run_id = own.resolution_run AND resolution.seq = own.resolution_seq
    AND resolution.at = own.resolution_at;
CREATE VIEW exit_shim.dashboard_orders AS
SELECT
    own.at, own.run_id, own.seq, own.host, own.account, own.module, own.symbol, sites.operation, sites.kind,
    sites.function, sites.place, sites.via, sites.evidence, own.mode, own.state,
    array_replace(coalesce(victims, '{}'), '', 'unknown') AS taken_from,
    coalesce(reasons, '{}') AS reasons,
    before_ns / 1e6 AS before_send_ms, total_ns / 1e6 AS total_ms
FROM exit_shim.order_states AS own JOIN exit_shim.sites USING (site);
"""
"""`orders` has the events as they are recorded; `dashboard_orders` has no event and is quick to read."""
