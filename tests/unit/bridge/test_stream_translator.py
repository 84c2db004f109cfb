"""The translator of the user stream, fed with events that come twice, in any order, or not at all."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exit_shim.bridge.known import KnownOrders
from exit_shim.bridge.stream import EXECUTIONS, StreamTranslator

SYMBOL = "BTCUSDT"
CHILD = {1: 101, 2: 102, 3: 103}
TYPES = {1: "STOP_MARKET", 2: "TAKE_PROFIT", 3: "TRAILING_STOP_MARKET"}


def algo(number, status):
    body = {"aid": number, "caid": f"name-{number}", "o": TYPES[number], "s": SYMBOL, "X": status, "tp": "5"}
    if status in {"TRIGGERED", "FINISHED"}:
        body["ai"] = str(CHILD[number])
    return {"e": "ALGO_UPDATE", "T": 1, "E": 1, "o": body}


def child(number, execution, status, filled, *, is_linked=True):
    """An event of the order that a conditional one became."""
    link = {"si": number, "ss": -1, "st": "ALGO_CONDITION"} if is_linked else {"si": 0, "ss": 0}
    body = {"i": CHILD[number], "c": f"name-{number}", "o": "MARKET", "ot": "MARKET", "sp": "0"}
    return {
        "e": "ORDER_TRADE_UPDATE",
        "T": 1,
        "E": 1,
        "o": {**body, "x": execution, "X": status, "z": filled, "t": int(filled), **link},
    }


def life(number, end):
    """The events of a conditional order, from its placing to its end."""
    if end != "FILLED":
        return [algo(number, "NEW"), algo(number, end)]
    return [
        algo(number, "NEW"),
        algo(number, "TRIGGERING"),
        child(number, "NEW", "NEW", "0"),
        child(number, "TRADE", "PARTIALLY_FILLED", "3"),
        child(number, "TRADE", "FILLED", "7"),
        algo(number, "TRIGGERED"),
        algo(number, "FINISHED"),
    ]


OTHERS = [
    {"e": "ACCOUNT_UPDATE", "T": 1, "a": {}},
    {"e": "ORDER_TRADE_UPDATE", "T": 1, "o": {"i": 9, "c": "other", "o": "LIMIT", "X": "NEW", "x": "NEW"}},
    {"e": "TRADE_LITE", "T": 1, "i": 9, "c": "other"},
]
ENDS = st.sampled_from(["FILLED", "FILLED", "CANCELED", "EXPIRED", "REJECTED"])
FILLED = {"status": "FILLED", "executedQty": "7", "origQty": "7", "avgPrice": "5", "orderId": 101}


@st.composite
def streams(draw):
    """Events of several lives: shuffled, some twice, some lost."""
    events = [event for number in CHILD for event in life(number, draw(ENDS))] + OTHERS
    order = draw(st.lists(st.sampled_from(range(len(events))), max_size=2 * len(events)))
    return [events[place] for place in order]


def run(events):
    """Return all that the bot gets, the late ends in the places where they would be asked for."""
    translator, got = StreamTranslator(KnownOrders()), []
    for event in events:
        got += translator.translate(event)
        for missing in list(translator.missing.values()):
            got += translator.add_late(missing, {**FILLED, "orderId": missing.child_id})
    return got


@given(events=streams())
def test_whatever_comes_nothing_is_told_twice_and_no_child_shows(events):
    """Each old event comes at most once; each event of today passes; an order has one id and one end."""
    got = run(events)
    updates = [event["o"] for event in got if event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["i"] != 9]
    told = Counter((body["i"], body["x"], body["X"], body.get("z"), body["o"]) for body in updates)
    assert set(told.values()) <= {1}
    assert not {body["i"] for body in updates} & set(CHILD.values())
    ends = Counter(body["i"] for body in updates if body["X"] == "FILLED")
    assert set(ends.values()) <= {1}
    assert [each for each in got if each["e"] == "ALGO_UPDATE"] == [
        each for each in events if each["e"] == "ALGO_UPDATE"
    ]
    assert [each for each in got if each in OTHERS] == [each for each in events if each in OTHERS]
    finished = {
        each["o"]["aid"] for each in events if each["e"] == "ALGO_UPDATE" and each["o"]["X"] == "FINISHED"
    }
    assert finished <= ends.keys()


@given(lost=st.sets(st.sampled_from(range(7))))
def test_a_life_in_its_order_is_the_old_sequence(lost):
    """Of one order's events those that come are told in their order, and a missed end once, as late."""
    events = [event for place, event in enumerate(life(1, "FILLED")) if place not in lost]
    got = [event for event in run(events) if event["e"] == "ORDER_TRADE_UPDATE"]
    old = [("NEW", "STOP_MARKET"), ("EXPIRED", "STOP_MARKET"), ("NEW", "MARKET"),
           ("PARTIALLY_FILLED", "MARKET"), ("FILLED", "MARKET")]  # fmt: skip
    heard = [each for place, each in enumerate(old) if place not in lost]
    seen = [(event["o"]["X"], event["o"].get("o") or "MARKET") for event in got]
    is_late = 4 in lost and 6 not in lost
    assert seen == heard + ([("FILLED", "MARKET")] if is_late else [])
    assert [event.get("bridge") for event in got[-1:]] == ([None] if got else []) or is_late
    if is_late:
        assert (got[-1]["bridge"], got[-1]["o"]["z"]) == ("late", "7")
        assert got[-1]["o"]["l"] == ("4" if 3 not in lost else "7")


def test_a_child_is_known_by_its_link_before_it_is_triggered():
    """The order's own event may come before TRIGGERING was read; `si` says whose it is."""
    translator = StreamTranslator(KnownOrders())
    translator.translate(algo(1, "NEW"))
    (event,) = translator.translate(child(1, "NEW", "NEW", "0"))
    assert (event["o"]["i"], event["o"]["ot"], event["o"]["sp"]) == (1, "STOP_MARKET", "5")
    assert event["o"]["actualOrderId"] == "101"


def test_an_ordinary_order_of_the_same_name_keeps_its_id():
    """While a conditional order waits, an ordinary one that bears its name is another order."""
    translator = StreamTranslator(KnownOrders())
    translator.translate(algo(1, "NEW"))
    event = child(1, "TRADE", "FILLED", "7", is_linked=False)
    assert translator.translate(event) == [event]


def test_the_fill_in_short_bears_the_id_too():
    """TRADE_LITE of a fired order has the id that the bot knows."""
    translator = StreamTranslator(KnownOrders())
    for status in ("NEW", "TRIGGERING"):
        translator.translate(algo(1, status))
    (event,) = translator.translate({"e": "TRADE_LITE", "s": "BTCUSDT", "i": 101, "c": "name-1"})
    assert event["i"] == 1


def test_a_refused_trigger_is_the_old_event():
    """REJECTED is CONDITIONAL_ORDER_TRIGGER_REJECT, with the reason."""
    translator = StreamTranslator(KnownOrders())
    event = algo(1, "REJECTED")
    event["o"]["rm"] = "Reduce Only reject"
    old, new = translator.translate(event)
    assert (old["e"], old["or"]["i"], old["or"]["r"]) == (
        "CONDITIONAL_ORDER_TRIGGER_REJECT", 1, "Reduce Only reject",
    )  # fmt: skip
    assert new is event
    assert "REJECTED" not in EXECUTIONS
