"""When somebody is told: once an episode, with reminders, and when it is over."""

from decimal import Decimal

import pytest

from exit_shim.alerts.bare import BarePositions, Sighting, who_bared
from exit_shim.alerts.digest import DigestClock, TimeOfDay
from exit_shim.alerts.episodes import Episodes, Message, Trouble
from exit_shim.alerts.retries import Retries
from exit_shim.alerts.watch import alert_sent
from exit_shim.alerts.wording import duration, plain
from exit_shim.cli.clock import UTC_CLOCK
from exit_shim.domain.events import ExchangeUpdate
from exit_shim.reports.lives import Actor, Life, PositionName
from exit_shim.reports.timeline import PositionState

S = 1_000_000_000
NAME = PositionName("main", "BTCUSDT", "BOTH")
SIZE = Decimal("0.010")
BARE = Sighting(SIZE, SIZE, "60000")
COVERED = Sighting(SIZE, Decimal(0))


def stop(at=0, by="rearm"):
    """The stop whose end bared the position."""
    return Life(
        NAME,
        "SELL",
        "sl",
        "STOP_MARKET",
        "conditional",
        at,
        level=Decimal(50000),
        placed_by=Actor("brain", "place", "brain.py:7", "run", 1),
        end="cancelled",
        ended_ns=at,
        ended_by=None if by is None else Actor(by, "run_cycle", "rearm.py:26", "run", 2),
        ids=(("main", "algo", "4000"),),
    )


def state(cover, since_s=0.0, amount=SIZE, last_stop=None):
    """The position, with a cover since a moment."""
    return PositionState(NAME, amount, None, None, 0, cover, int(since_s * S), last_stop, ())


class Told:
    """Decides about one position, at moments that a test gives."""

    def __init__(self, episodes=None, **options):
        self.episodes = episodes or Episodes(settle_s=15)
        self.bare = BarePositions(self.episodes, str, **options)
        self.asked = 0
        self.messages = []

    def at(self, now_s, now, shows=BARE):
        """Take how the position is at a moment; what the exchange shows is asked for where that is due."""
        now_ns = int(now_s * S)
        due = self.bare.due([now], now_ns)
        self.asked += len(due)
        seen = {one.position: shows for one in due} if shows is not None else {}
        self.messages += self.bare.advance([now], seen, now_ns)

    @property
    def stages(self):
        return [message.stage for message in self.messages]


def test_a_bare_position_is_told_after_the_grace_with_who_bared_it():
    """Nothing is said within 5 s; then once, with module, function, place, size, mark and what to do."""
    told = Told()
    bare = state("bare", 10, last_stop=stop())
    told.at(14.9, bare)
    assert told.messages == []
    assert told.asked == 0
    for second in (15, 16, 100):
        told.at(second, bare)
    (message,) = told.messages
    assert message.title == "BTCUSDT is bare: no stop closes its long position of 0.010"
    for part in ("main", "LONG 0.010", "60000", "rearm (run_cycle rearm.py:26) cancelled brain's", "4000"):
        assert part in message.text
    assert message.text.endswith("exit-shim why BTCUSDT")


def test_the_grace_runs_from_the_strip_on_the_exchanges_clock():
    """What the exchange says of the cancel's time counts, not when that was learnt."""
    told = Told()
    update = ExchangeUpdate(
        account="main",
        symbol="BTCUSDT",
        side="SELL",
        position_side="BOTH",
        store="conditional",
        status="CANCELED",
        type="STOP_MARKET",
        kind="sl",
        algo_id=4000,
        source="stream",
        at=102 * S,
    )
    # The exchange's clock is 95 s ahead: it was at 7 s by ours.
    told.bare.take_update(update, 95 * S)
    bare = state("bare", 10, last_stop=stop(10))
    told.at(11.9, bare)
    assert told.messages == []
    told.at(12, bare)
    assert told.messages[0].since == 7 * S


def test_a_stop_that_is_replaced_within_the_grace_alarms_nobody():
    """Cancel and place, again and again, each within the grace: no message."""
    told = Told()
    for round_ in range(50):
        told.at(10 * round_ + 4, state("bare", 10 * round_, last_stop=stop()))
        told.at(10 * round_ + 9, state("covered", 10 * round_ + 4.5))
    assert told.messages == []
    assert told.asked == 0


def test_fifty_fights_are_one_message():
    """A stop that is stripped and placed again 50 times is one episode, which ends once it stays covered."""
    told = Told()
    for round_ in range(50):
        began = 100 + 12 * round_
        told.at(began + 6, state("bare", began, last_stop=stop()))
        told.at(began + 11, state("covered", began + 7))
    assert [stage for stage in told.stages if stage != "reminder"] == ["first"]
    covered = 100 + 12 * 49 + 7
    told.at(covered + 16, state("covered", covered))
    assert told.stages[-1] == "over"
    assert told.messages[-1].title == f"BTCUSDT is covered again after {duration((covered - 100) * S)}"


def test_reminders_come_after_5_15_and_60_minutes():
    """A position that stays bare is told four times, whatever the interval of looks is."""
    told = Told()
    bare = state("bare", 0, last_stop=stop())
    times = []
    for second in range(0, 5 * 3600, 10):
        told.at(second, bare)
        times += [second] * (len(told.messages) - len(times))
    assert [round((at - times[0]) / 60) for at in times] == [0, 5, 15, 60]
    assert told.messages[1].title.startswith("still after 5 min 10 s: BTCUSDT is bare")


@pytest.mark.parametrize("cover", ["unknown", "covered", "partly", "flat"])
def test_what_is_not_surely_bare_is_never_told(cover):
    """Neither a cover nor a size that is not known alarms anybody, whatever a look shows."""
    told = Told()
    for second in range(0, 200, 10):
        told.at(second, state(cover, 0))
        told.at(second, state("bare", 0, amount=None))
    assert told.messages == []


def test_the_exchange_has_the_last_word():
    """No message where the exchange shows a stop, or cannot be asked; it is asked again every 5 s."""
    told = Told()
    bare = state("bare", 0, last_stop=stop())
    for tenth in range(50, 250):
        told.at(tenth / 10, bare, COVERED)
    assert told.messages == []
    assert told.asked == 4
    told.at(26, bare, None)
    assert told.messages == []
    told.at(27, bare, BARE)
    assert told.stages == ["first"]


def test_the_exchange_is_asked_ever_more_rarely_about_what_stays_unclear():
    """Forty positions whose stops are in doubt must not use up the address's request weight."""
    told, times = Told(), []
    for second in range(100, 350):
        told.at(second, state("unknown", 99), COVERED)
        times += [second] * (told.asked - len(times))
    assert times == [100, 105, 115, 135, 195, 255, 315]
    told.at(500, state("covered", 490))
    told.at(600, state("unknown", 590), COVERED)
    told.at(605, state("unknown", 590), COVERED)
    assert told.asked == len(times) + 2


def test_a_position_in_part_is_told_only_if_asked_for():
    """`--partly` tells of a position of which a part has no stop."""
    part = Sighting(SIZE, Decimal("0.004"))
    quiet, told = Told(), Told(also_partly=True)
    for each in (quiet, told):
        each.at(10, state("partly", 0), part)
    assert quiet.messages == []
    assert told.messages[0].title == (
        "BTCUSDT is partly bare: no stop closes 0.004 of its long position of 0.010"
    )


def test_a_restart_repeats_nothing_and_ends_what_it_finds_over():
    """The alerts in the journal are the memory: no second message, and "over" counts from the beginning."""
    first = Told()
    first.at(10, state("bare", 0, last_stop=stop()))
    sent = [(10 * S, alert_sent(first.messages[0], ("json",), None))]

    again = Told(Episodes(settle_s=15))
    again.episodes.remember(sent)
    again.at(60, state("bare", 58, last_stop=None))
    assert again.messages == []
    again.at(10 + 300, state("bare", 58))
    assert again.stages == ["reminder"]
    again.at(400, state("flat", 390))
    assert again.messages[-1].title == "BTCUSDT is flat again after 6 min 30 s"

    closed = Told(Episodes())
    closed.episodes.remember(sent)
    assert closed.bare.end_closed([], "other", 42 * S) == []
    assert [message.title for message in closed.bare.end_closed([], "main", 42 * S)] == [
        "BTCUSDT is flat again after 42 s"
    ]


def test_what_begins_again_and_again_is_told_three_times():
    """A bot that bares a stop 8 s of every minute is three messages; one that lasts is told, too."""
    told = Told()
    for minute in range(120):
        began = 60 * minute
        told.at(began + 6, state("bare", began, last_stop=stop()))
        told.at(began + 8 + 16, state("covered", began + 8))
    assert told.stages == ["first", "over"] * 3
    assert told.messages[4].title.startswith("again and again: BTCUSDT is bare")
    assert "the digest counts the rest" in told.messages[4].text

    for second in range(7206, 7200 + 330, 10):
        told.at(second, state("bare", 7200, last_stop=stop()))
    told.at(7600, state("flat", 7550))
    assert told.stages[6:] == ["reminder", "over"]

    told.at(12_000, state("bare", 11_900, last_stop=stop()))
    assert told.messages[-1].title.startswith("BTCUSDT is bare")


def test_a_restart_remembers_what_begins_again_and_again():
    """Three first messages within the hour are known from the journal."""
    told, sent = Told(), []
    for minute in range(3):
        told.at(60 * minute + 6, state("bare", 60 * minute))
        told.at(60 * minute + 50, state("covered", 60 * minute + 8))
    sent = [((message.since or 0) + 6 * S, alert_sent(message, ("json",), None)) for message in told.messages]
    later = Told()
    later.episodes.remember(sent)
    later.at(206, state("bare", 200))
    assert later.messages == []


def test_what_nobody_got_is_told_again_after_a_restart():
    """An alert that no service took does not count as told."""
    first = Told()
    first.at(10, state("bare", 0, last_stop=stop()))
    again = Told()
    again.episodes.remember([(10 * S, alert_sent(first.messages[0], (), "json: HTTP 500"))])
    again.at(60, state("bare", 0, last_stop=stop()))
    assert again.stages == ["first"]

    later, reminder = Told(), again.messages[0]._replace(stage="reminder")
    later.episodes.remember([(60 * S, alert_sent(reminder, ("json",), None))])
    later.at(90, state("bare", 0, last_stop=stop()))
    assert later.messages == []


def test_what_nobody_got_is_due_again():
    """A bare position that no service took is told 30 s later, then after longer pauses."""
    told = Told()
    bare = state("bare", 0, last_stop=stop())
    told.at(10, bare)
    told.episodes.untell(told.messages[0], 20 * S)
    told.at(49, bare)
    assert told.stages == ["first"]
    told.at(50, bare)
    assert told.stages == ["first", "first"]
    told.episodes.untell(told.messages[1], 51 * S)
    told.at(110, bare)
    assert len(told.messages) == 2
    told.at(111, bare)
    assert told.stages == ["first"] * 3

    told.episodes.untell(told.messages[2], 112 * S)
    told.at(200, state("covered", 180))
    assert len(told.messages) == 3
    told.at(206, state("bare", 201))
    assert len(told.messages) == 4
    told.episodes.confirm(told.messages[3])
    told.at(206 + 300, state("bare", 201))
    told.episodes.untell(told.messages[4], 510 * S)
    told.at(541, state("bare", 201))
    assert told.stages[3:] == ["first", "reminder", "reminder"]


def test_what_has_no_end_is_sent_again_for_an_hour():
    """A denial that no service took comes again until it is taken, or an hour is over."""
    retries, message = Retries(), Message("denied", "main legacy", "a stop was denied", "")
    retries.note(message, 0)
    sent = []
    for second in range(2 * 3600):
        for each in retries.take_due(second * S):
            sent.append(second)
            retries.note(each, second * S)
    assert sent == [30, 90, 210, 450, 930, 1530, 2130, 2730, 3330, 3930]
    retries.note(message, 9000 * S)
    retries.forget(message)
    assert retries.take_due(9999 * S) == []


def test_what_happens_again_and_again_is_told_once_an_hour():
    """A legacy module that is denied every ten seconds is one message an hour, also across a restart."""
    episodes, message = Episodes(), Message("denied", "main legacy", "a stop was denied", "")
    told = [at for at in range(0, 7200, 10) if episodes.tell_once(message, at * S)]
    assert told == [0, 3600]
    later = Episodes()
    later.remember([(3600 * S, alert_sent(message, ("json",), None))])
    assert later.tell_once(message, 7000 * S) is None
    assert later.tell_once(message, 7300 * S) is not None


def test_a_million_modules_are_no_million_messages():
    """Of a kind of message that has no end, at most twenty are sent within an hour."""
    episodes = Episodes()
    messages = [Message("denied", f"main module_{number}", "a stop was denied", "") for number in range(1000)]
    told = [at for at, message in enumerate(messages) if episodes.tell_once(message, at * S)]
    assert told == list(range(20))
    assert episodes.tell_once(Message("enforcement", "run:1", "switched off", ""), 1000 * S) is not None
    assert episodes.tell_once(Message("denied", "main other", "a stop was denied", ""), 3600 * S) is not None


def test_a_trouble_that_lasts_is_one_episode():
    """Several orders in doubt, one after the other, are one message."""
    episodes = Episodes()
    messages = [
        episodes.hold(Trouble("in_doubt", "main", 0, f"{number} orders", ""), (90 + number) * S)
        for number in range(62)
    ]
    assert [message.title for message in messages if message] == ["0 orders"]
    over = episodes.end("in_doubt", "main", 200 * S, "no order is in doubt any more")
    assert over.title == "no order is in doubt any more after 3 min 20 s"
    assert episodes.end("in_doubt", "main", 200 * S, "no order is in doubt any more") is None


def test_a_digest_is_due_once_a_day_and_late_rather_than_never():
    """It comes at its time of day; one that was due while nobody watched comes at the start."""
    day, at = 86_400 * S, TimeOfDay(8, 0)
    clock = DigestClock(at, UTC_CLOCK.time_of, 10 * day)
    assert clock.take_due(10 * day + 7 * 3600 * S) is None
    assert clock.take_due(10 * day + 8 * 3600 * S) == (9 * day, 10 * day + 8 * 3600 * S)
    assert clock.take_due(10 * day + 9 * 3600 * S) is None
    assert clock.take_due(11 * day + 8 * 3600 * S) == (10 * day + 8 * 3600 * S, 11 * day + 8 * 3600 * S)

    late = DigestClock(at, UTC_CLOCK.time_of, 12 * day, last_ns=10 * day + 8 * 3600 * S)
    assert late.take_due(12 * day) == (10 * day + 8 * 3600 * S, 12 * day)
    assert DigestClock(None, UTC_CLOCK.time_of, 0).take_due(100 * day) is None


@pytest.mark.parametrize(
    ("planted", "shown"),
    [
        ("a\x1b[31mb\nc\u202ed", "a [31mb c d"),
        ("@everyone", "@ everyone"),
        ("<@123> <!channel>", "<@ 123> <! channel>"),
        ("x" * 500, "x" * 119 + "…"),
        ("main@testnet key@127.0.0.1:80", "main@testnet key@127.0.0.1:80"),
    ],
)
def test_text_from_the_journal_does_nothing(planted, shown):
    """Controls, line breaks and mentions do not survive, and no text fills the screen."""
    assert plain(planted) == shown


def test_nobody_is_blamed_who_is_not_known():
    """A stop that ended without a record is said to have ended so, with its owner."""
    assert "no record says by whom" in who_bared(stop(by=None))
    assert who_bared(None).startswith("nobody known")
