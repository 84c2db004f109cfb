"""Answer the questions of a record from all of its records and facts at hand, to compare with."""

import msgspec

from exit_shim.domain.events import GuardFinding, PositionSeen
from exit_shim.journal import IN_DOUBT, count_records
from exit_shim.journal.record_source import RecordFilter, count_fights, count_findings, count_latencies
from exit_shim.journal.rows import decode


def with_victims(records):
    """The records, with the module of each target that some earlier record placed."""
    records = list(records)
    named = []
    for record in records:
        targets = tuple(
            msgspec.structs.replace(target, module=target.module or module_of(target, record, records))
            for target in record.intent.targets
        )
        intent = msgspec.structs.replace(record.intent, targets=targets)
        named.append(msgspec.structs.replace(record, intent=intent))
    return named


def module_of(target, cancel, records):
    wanted = {target.order_id, target.algo_id, target.client_order_id} - {None}
    module = None
    for record in records[: records.index(cancel)]:
        order, answers = record.intent.order, (record.outcome, record.resolution)
        ids = {order.client_order_id} | {
            value
            for answer in answers
            if answer
            for value in (answer.order_id, answer.algo_id, answer.client_order_id)
        }
        same = record.intent.account, order.symbol
        if record.intent.operation == "place" and same == (
            cancel.intent.account,
            cancel.intent.order.symbol,
        ):
            module = record.intent.attribution.module if ids & wanted else module
    return module


def answers(source, since, until):
    """What a source says itself."""
    between = {"since_ns": since, "until_ns": until}
    return {
        "fights": source.read_fights(**between),
        "findings": source.read_finding_counts(**between),
        "latencies": source.read_latencies(since_ns=since),
        "counts": source.read_counts(since_ns=since),
    }


def expected(source, since, until, victims=None):
    """What there is to say, counted one by one.

    Args:
        source: A journal or database.
        since: Only since this moment; None for all.
        until: Only before this moment.
        victims: What `with_victims` returned before some of the records were pruned.
    """
    named = {(each.run_id, each.seq): each for each in victims or with_victims(source.read_records())}
    between = RecordFilter(since_ns=since, until_ns=until)
    chosen = [named[record.run_id, record.seq] for record in source.read_records(between)]
    later = list(source.read_records(RecordFilter(since_ns=since)))
    facts = source.read_facts({"guard_finding"}, since_ns=since, until_ns=until)
    return {
        "fights": count_fights(chosen),
        "findings": count_findings(chosen, (decode(GuardFinding, fact.body) for fact in facts)),
        "latencies": count_latencies(later),
        "counts": count_records(later)[0],
    }


def last_seen(source):
    """The last sight of each position, of all."""
    last = {}
    for stored in source.read_facts({"position_seen"}):
        seen = decode(PositionSeen, stored.body)
        if seen.exits is not None or seen.amount == "0":
            last[seen.account, seen.symbol, seen.position_side] = stored
    return sorted(last.values(), key=lambda stored: (stored.ts, stored.run_id, stored.seq))


def counters(counts):
    """Counters without the places in the bot, which what was pruned has no more."""
    numbers = {}
    for count in counts:
        if count.state != IN_DOUBT:
            site = count.site
            key = site.module, site.operation, site.kind, count.mode, count.state
            numbers[key] = numbers.get(key, 0) + count.orders
    return numbers
