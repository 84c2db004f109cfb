"""What the central database does when events come: it keeps the state of each order, and the counts."""

from typing import Final

from exit_shim.journal.rollups import DAY_NS, HOUR_NS, TAKEN_STATES, bucket_in_sql, in_sql

NO_SITE: Final = "00000000-0000-0000-0000-000000000000"
"""The place in the bot of what is about no order."""

LOCKS: Final = 0x45584955
"""The first half of the advisory locks of runs and accounts."""

SPANS: Final = f"(VALUES ({HOUR_NS}::bigint), ({DAY_NS})) AS spans (span)"

# Two that come at once must see each other's orders: an outcome may be in one, and its order in the other.
# All locks are taken in one order, here and in the counts.
LOCK: Final = f"""
PERFORM pg_advisory_xact_lock({LOCKS}, key) FROM (
    SELECT DISTINCT hashtext(name) AS key FROM (
        SELECT run_id AS name FROM arrived
        UNION SELECT about_run FROM arrived WHERE about_run IS NOT NULL
        UNION SELECT 'account ' || coalesce(account, '') FROM arrived WHERE event = 'intent'
    ) AS names ORDER BY key
) AS keys;
"""  # noqa: S608 - a constant of ours

ADD_SITES: Final = """
INSERT INTO exit_shim.sites
SELECT DISTINCT ON (site) site, module, operation, kind, function, place, via, evidence
FROM arrived WHERE event = 'intent' ORDER BY site
ON CONFLICT DO NOTHING;
"""

EARLY: Final = """
SELECT events.* FROM exit_shim.early
JOIN arrived AS intents
    ON intents.event = 'intent' AND intents.run_id = early.run_id AND intents.seq = early.seq
JOIN exit_shim.events ON events.run_id = event_run AND events.seq = event_seq AND events.at = event_at
"""
"""What told of the orders that come now before they came."""

TOLD: Final = """
ROW(
    {0}.run_id, {0}.seq, {0}.at, {0}.ts, {0}.pos, {0}.host, {0}.account, {0}.module, {0}.symbol, {0}.mode,
    {0}.conflict, {0}.result, {0}.stack, {0}.site, {0}.reasons, {0}.victims, {0}.before_ns, {0}.total_ns
)::exit_shim.told
"""

# One row for each order, without a join: nobody can tell the planner how many events of a kind there are.
# The first outcome and the first findings of an order count, and the last resolution. What came before its
# order waits in `early`.
SORT_BY_ORDER: Final = f"""
SELECT array_agg(ROW(order_run, order_seq, intent, outcome, findings, resolution)::exit_shim.news) INTO news
FROM (
    SELECT order_run, order_seq,
        (array_agg(told) FILTER (WHERE event = 'intent'))[1] AS intent,
        (array_agg(told ORDER BY pos) FILTER (WHERE event = 'outcome'))[1] AS outcome,
        (array_agg(told ORDER BY pos) FILTER (WHERE event = 'order_findings'))[1] AS findings,
        (array_agg(told ORDER BY ts DESC, pos DESC) FILTER (WHERE event = 'resolution'))[1] AS resolution
    FROM (
        SELECT event, pos, ts, {TOLD.format("arrived")} AS told,
            CASE event WHEN 'intent' THEN run_id ELSE about_run END AS order_run,
            CASE event WHEN 'intent' THEN seq ELSE about_seq END AS order_seq
        FROM arrived WHERE event = 'intent'
        OR event IN ('outcome', 'order_findings', 'resolution') AND about_seq IS NOT NULL
        UNION ALL
        SELECT event, pos, ts, {TOLD.format("waiting")}, about_run, about_seq FROM ({EARLY}) AS waiting
    ) AS events GROUP BY order_run, order_seq
) AS orders;
"""  # noqa: S608 - constants of ours

ADD_ORDERS: Final = """
WITH added AS (
    INSERT INTO exit_shim.order_states (
        at, run_id, seq, ts, site, module, host, account, symbol, mode, conflict, state, result, before_ns,
        total_ns, reasons, victims, stack, later_stack, outcome_seq, outcome_at, findings_seq, findings_at,
        resolution_run, resolution_seq, resolution_at
    )
    SELECT
        (intent).at, run_id, seq, (intent).ts, (intent).site, (intent).module, (intent).host,
        (intent).account, (intent).symbol, (intent).mode, (intent).conflict,
        coalesce(nullif((outcome).result, 'unknown'), (proof).result, 'in doubt'), (outcome).result,
        (outcome).before_ns, (outcome).total_ns, (intent).reasons || (findings).reasons, (intent).victims,
        (intent).stack, (outcome).stack, (outcome).seq, (outcome).at, (findings).seq, (findings).at,
        (proof).run_id, (proof).seq, (proof).at
    FROM (
        SELECT *, CASE
            WHEN coalesce((outcome).result, 'unknown') = 'unknown' OR (resolution).ts < (outcome).ts
            THEN resolution
        END AS proof
        FROM unnest(news)
    ) AS orders
    WHERE (intent).run_id IS NOT NULL
    ORDER BY 2, 3 ON CONFLICT DO NOTHING
    RETURNING order_states AS own
)
SELECT array_agg(ROW(1, (own).outcome_seq IS NOT NULL, own)::exit_shim.change) INTO changes FROM added;
"""

# A statement of its own, so that the next one sees what others have done with these orders.
HOLD_ORDERS: Final = """
PERFORM 1 FROM exit_shim.order_states AS own JOIN {orders} AS touched
    ON own.run_id = touched.run_id AND own.seq = touched.seq
ORDER BY own.run_id, own.seq FOR UPDATE OF own;
"""

CHANGE_ORDERS: Final = f"""
SELECT array_agg(late) INTO news FROM unnest(news) AS late WHERE (intent).run_id IS NULL;
IF news IS NOT NULL THEN
    {HOLD_ORDERS.format(orders="unnest(news)")}
    WITH earlier AS (
            SELECT own FROM exit_shim.order_states AS own
            JOIN unnest(news) AS late ON own.run_id = late.run_id AND own.seq = late.seq
        ),
        changed AS (
            UPDATE exit_shim.order_states AS own SET
                state = coalesce(
                    nullif(own.result, 'unknown'), nullif(first_result, 'unknown'), (proof).result,
                    CASE WHEN own.resolution_seq IS NOT NULL THEN own.state END, 'in doubt'
                ),
                result = CASE WHEN own.outcome_seq IS NULL THEN first_result ELSE own.result END,
                before_ns = CASE WHEN own.outcome_seq IS NULL THEN (outcome).before_ns ELSE own.before_ns END,
                total_ns = CASE WHEN own.outcome_seq IS NULL THEN (outcome).total_ns ELSE own.total_ns END,
                later_stack = CASE WHEN own.outcome_seq IS NULL THEN (outcome).stack ELSE own.later_stack END,
                outcome_seq = coalesce(own.outcome_seq, (outcome).seq),
                outcome_at = coalesce(own.outcome_at, (outcome).at),
                findings_seq = coalesce(own.findings_seq, (findings).seq),
                findings_at = coalesce(own.findings_at, (findings).at),
                reasons = CASE
                    WHEN own.findings_seq IS NULL THEN own.reasons || (findings).reasons ELSE own.reasons
                END,
                resolution_run = coalesce((proof).run_id, own.resolution_run),
                resolution_seq = coalesce((proof).seq, own.resolution_seq),
                resolution_at = coalesce((proof).at, own.resolution_at)
            FROM (
                SELECT late.*, known.at,
                    CASE WHEN known.outcome_seq IS NULL THEN (outcome).result END AS first_result,
                    CASE WHEN
                        known.resolution_at IS NULL AND coalesce(known.result, 'unknown') = 'unknown'
                        AND (
                            known.outcome_seq IS NOT NULL
                            OR coalesce((outcome).result, 'unknown') = 'unknown'
                        )
                        OR (resolution).at >= known.resolution_at
                        OR known.outcome_seq IS NULL AND (resolution).ts < (outcome).ts
                    THEN resolution END AS proof
                FROM exit_shim.order_states AS known
                JOIN unnest(news) AS late ON known.run_id = late.run_id AND known.seq = late.seq
            ) AS late
            WHERE own.run_id = late.run_id AND own.seq = late.seq AND own.at = late.at
            RETURNING own, coalesce(own.outcome_seq = (outcome).seq, false) AS is_new
        )
    SELECT changes || array_agg(change) INTO changes FROM (
        SELECT ROW(-1, false, own)::exit_shim.change AS change FROM earlier
        UNION ALL
        SELECT ROW(1, is_new, own)::exit_shim.change FROM changed
    ) AS both_sides;
    INSERT INTO exit_shim.early
    SELECT run_id, seq, (told).run_id, (told).seq, (told).at
    FROM unnest(news) AS late CROSS JOIN LATERAL (
        VALUES ((outcome).run_id, outcome), ((findings).run_id, findings), ((resolution).run_id, resolution)
    ) AS each (event_run, told)
    WHERE event_run IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM exit_shim.order_states AS own WHERE own.run_id = late.run_id AND own.seq = late.seq
    )
    ORDER BY 1, 2, 3, 4 ON CONFLICT DO NOTHING;
END IF;
"""  # noqa: S608 - constants of ours

# Of several orders that had this id, the last one before the cancel is meant.
NAME_VICTIMS: Final = f"""
INSERT INTO exit_shim.strays
SELECT DISTINCT name, run_id, seq, number
FROM arrived CROSS JOIN LATERAL unnest(stray_names, stray_numbers) AS own (name, number)
ORDER BY name, run_id, seq, number ON CONFLICT DO NOTHING;
IF EXISTS (SELECT 1 FROM exit_shim.strays) THEN
    WITH pairs AS (
            SELECT strays.run_id, strays.seq, number, coalesce(about_run, events.run_id) AS placed_run,
                coalesce(about_seq, events.seq) AS placed_seq
            FROM (
                SELECT name, run_id, seq, number
                FROM arrived CROSS JOIN LATERAL unnest(stray_names, stray_numbers) AS own (name, number)
            ) AS strays
            JOIN exit_shim.events
            ON names @> ARRAY[name] AND event IN ('intent', 'outcome', 'resolution')
            UNION
            SELECT strays.run_id, strays.seq, number, coalesce(about_run, named.run_id),
                coalesce(about_seq, named.seq)
            FROM (
                SELECT run_id, seq, about_run, about_seq, unnest(names) AS name
                FROM arrived WHERE event IN ('intent', 'outcome', 'resolution')
                UNION ALL
                SELECT run_id, seq, about_run, about_seq, unnest(names) FROM ({EARLY}) AS waiting
            ) AS named
            JOIN exit_shim.strays USING (name)
        )
    SELECT array_agg(ROW(run_id, seq, number, module)::exit_shim.taking) INTO takings FROM (
        SELECT DISTINCT ON (pairs.run_id, pairs.seq, number) pairs.run_id, pairs.seq, number, placed.module
        FROM pairs
        JOIN exit_shim.order_states AS placed ON placed.run_id = placed_run AND placed.seq = placed_seq
        JOIN exit_shim.sites ON sites.site = placed.site AND operation = 'place'
        JOIN exit_shim.order_states AS cancels
            ON cancels.run_id = pairs.run_id AND cancels.seq = pairs.seq
        WHERE placed.account IS NOT DISTINCT FROM cancels.account
        AND (cancels.symbol IS NULL OR placed.symbol = cancels.symbol) AND placed.ts <= cancels.ts
        ORDER BY pairs.run_id, pairs.seq, number, placed.ts DESC, placed.run_id DESC, placed.seq DESC
    ) AS last_ones;
    {HOLD_ORDERS.format(orders="unnest(takings)")}
    WITH taken AS (
            SELECT run_id, seq, array_agg(module) AS modules FROM unnest(takings) GROUP BY run_id, seq
        ),
        earlier AS (
            SELECT own FROM exit_shim.order_states AS own JOIN taken USING (run_id, seq)
        ),
        changed AS (
            UPDATE exit_shim.order_states AS own
            SET victims = array_remove(own.victims, '') || array_remove(modules, own.module) || array_fill(
                ''::text, ARRAY[cardinality(array_positions(own.victims, '')) - cardinality(modules)]
            )
            FROM taken WHERE own.run_id = taken.run_id AND own.seq = taken.seq
            RETURNING own
        )
    SELECT changes || array_agg(change) INTO changes FROM (
        SELECT ROW(-1, false, own)::exit_shim.change AS change FROM earlier
        UNION ALL
        SELECT ROW(1, false, own)::exit_shim.change FROM changed
    ) AS both_sides;
    DELETE FROM exit_shim.strays USING unnest(takings) AS named
    WHERE strays.run_id = named.run_id AND strays.seq = named.seq AND strays.number = named.number;
END IF;
"""  # noqa: S608 - constants of ours

FORGET_EARLY: Final = """
DELETE FROM exit_shim.early USING arrived AS intents
WHERE intents.event = 'intent' AND intents.run_id = early.run_id AND intents.seq = early.seq;
"""

# The events are looked up for a new stack only.
ADD_STACKS: Final = """
INSERT INTO exit_shim.stacks AS kept (module, evidence, stack, later_stack, last, ts, intent, outcome)
SELECT module, evidence, stack, later_stack, last, (example).ts,
    CASE WHEN is_new THEN (
        SELECT body FROM exit_shim.events
        WHERE run_id = (example).run_id AND seq = (example).seq AND at = (example).at
    ) ELSE '' END,
    CASE WHEN is_new THEN (
        SELECT body FROM exit_shim.events
        WHERE run_id = (example).run_id AND seq = (example).outcome_seq AND at = (example).outcome_at
    ) ELSE '' END
FROM (
    SELECT *, NOT EXISTS (
        SELECT 1 FROM exit_shim.stacks AS kept
        WHERE kept.module = seen.module AND kept.evidence = seen.evidence
        AND kept.stack = seen.stack AND kept.later_stack = seen.later_stack
    ) AS is_new
    FROM (
        SELECT (own).module, sites.evidence, coalesce((own).stack, 0) AS stack,
            coalesce((own).later_stack, 0) AS later_stack, max((own).ts) AS last,
            (array_agg(own ORDER BY (own).ts, (own).run_id, (own).seq))[1] AS example
        FROM unnest(changes) JOIN exit_shim.sites ON site = (own).site
        WHERE is_concluded GROUP BY 1, 2, 3, 4
    ) AS seen
) AS stacks
ORDER BY 1, 2, 3, 4
ON CONFLICT (module, evidence, stack, later_stack) DO UPDATE SET last = excluded.last
WHERE excluded.last > kept.last;
"""

COUNT: Final = f"""
INSERT INTO exit_shim.tally AS kept
SELECT span, (own).ts / span, (own).site, (own).mode, (own).state, sum(sign), sum(sign * (own).conflict::int)
FROM unnest(changes) CROSS JOIN {SPANS}
GROUP BY 1, 2, 3, 4, 5 HAVING sum(sign) <> 0 OR sum(sign * (own).conflict::int) <> 0 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (span, place, site, mode, state)
DO UPDATE SET orders = kept.orders + excluded.orders, conflicts = kept.conflicts + excluded.conflicts;

INSERT INTO exit_shim.fights AS kept
SELECT span, (own).ts / span, (own).site, victim, sum(sign)
FROM unnest(changes) CROSS JOIN LATERAL unnest((own).victims) AS victim CROSS JOIN {SPANS}
WHERE (own).state IN {in_sql(TAKEN_STATES)}
GROUP BY 1, 2, 3, 4 HAVING sum(sign) <> 0 ORDER BY 1, 2, 3, 4
ON CONFLICT (span, place, site, victim) DO UPDATE SET orders = kept.orders + excluded.orders;

INSERT INTO exit_shim.findings AS kept
SELECT span, ts / span, code, site, sum(sign)
FROM (
    SELECT (own).ts, (own).site, code, sign
    FROM unnest(changes) CROSS JOIN LATERAL unnest((own).reasons) AS code
    UNION ALL
    SELECT ts, '{NO_SITE}', code, 1 FROM arrived CROSS JOIN LATERAL unnest(reasons) AS code
    WHERE event = 'guard_finding'
) AS found CROSS JOIN {SPANS}
GROUP BY 1, 2, 3, 4 HAVING sum(sign) <> 0 ORDER BY 1, 2, 3, 4
ON CONFLICT (span, place, code, site) DO UPDATE SET number = kept.number + excluded.number;

INSERT INTO exit_shim.latencies AS kept
SELECT span, ts / span, measure, {bucket_in_sql("took_ns")}, sum(sign), sum(sign * took_ns)
FROM (
    SELECT (own).ts, measure, took_ns, sign
    FROM unnest(changes)
    CROSS JOIN LATERAL (VALUES ('before_send', (own).before_ns), ('total', (own).total_ns))
        AS times (measure, took_ns)
    WHERE took_ns IS NOT NULL
) AS timed CROSS JOIN {SPANS}
GROUP BY 1, 2, 3, 4 HAVING sum(sign) <> 0 ORDER BY 1, 2, 3, 4
ON CONFLICT (span, place, measure, bucket)
DO UPDATE SET orders = kept.orders + excluded.orders, sum_ns = kept.sum_ns + excluded.sum_ns;
"""  # noqa: S608 - constants of ours

SEE_POSITIONS: Final = """
INSERT INTO exit_shim.positions AS kept
SELECT DISTINCT ON (1, 2, 3) coalesce(account, ''), symbol, position_side, ts, run_id, seq, pos, body, link
FROM arrived WHERE event = 'position_seen' AND position_side IS NOT NULL
ORDER BY 1, 2, 3, ts DESC, run_id DESC, seq DESC
ON CONFLICT (account, symbol, position_side) DO UPDATE SET ts = excluded.ts, run_id = excluded.run_id,
    seq = excluded.seq, pos = excluded.pos, body = excluded.body, link = excluded.link
WHERE (excluded.ts, excluded.run_id, excluded.seq) > (kept.ts, kept.run_id, kept.seq);
"""

# A plan that is made for an array of thousands of orders takes seconds to make.
ROLL_UP: Final = f"""
CREATE TYPE exit_shim.change AS (sign integer, is_concluded boolean, own exit_shim.order_states);
CREATE TYPE exit_shim.told AS (
    run_id text, seq bigint, at timestamptz, ts bigint, pos bigint, host text, account text, module text,
    symbol text, mode text, conflict boolean, result text, stack bigint, site uuid, reasons text[],
    victims text[], before_ns bigint, total_ns bigint
);
CREATE TYPE exit_shim.news AS (
    run_id text, seq bigint, intent exit_shim.told, outcome exit_shim.told, findings exit_shim.told,
    resolution exit_shim.told
);
CREATE TYPE exit_shim.taking AS (run_id text, seq bigint, number integer, module text);
CREATE FUNCTION exit_shim.roll_up() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $roll_up$
#variable_conflict use_column
DECLARE
    news exit_shim.news[];
    changes exit_shim.change[];
    takings exit_shim.taking[];
BEGIN
    {LOCK}
    {ADD_SITES}
    {SORT_BY_ORDER}
    {ADD_ORDERS}
    {CHANGE_ORDERS}
    {NAME_VICTIMS}
    {FORGET_EARLY}
    {ADD_STACKS}
    {COUNT}
    {SEE_POSITIONS}
    RETURN NULL;
END $roll_up$;
REVOKE ALL ON FUNCTION exit_shim.roll_up() FROM PUBLIC;
CREATE TRIGGER roll_up AFTER INSERT ON exit_shim.events REFERENCING NEW TABLE AS arrived
FOR EACH STATEMENT EXECUTE FUNCTION exit_shim.roll_up();
"""
"""Runs once for each batch, as the schema's owner: who ships needs no right to what it keeps.

It is given the rows that were really inserted, so what is sent again is not counted again.
"""
