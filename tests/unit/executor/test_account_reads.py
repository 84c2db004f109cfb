"""What a pass over the account reads, and how much it weighs."""

import pytest

from exit_shim.executor.account_reads import WEIGHT_OF_ALL, AccountReads, weight_of_symbol


def position(symbol, amount="1"):
    """A row of positionRisk."""
    return {"symbol": symbol, "positionSide": "BOTH", "positionAmt": amount, "entryPrice": "1"}


def order(symbol, name):
    """A row of openOrders."""
    return {"symbol": symbol, "side": "SELL", "type": "LIMIT", "orderId": 1, "clientOrderId": name}


def answer(asked, positions, orders=()):
    """Answer requests like the exchange."""
    rows = {"positions": positions, "orders": orders, "algos": ()}
    return [
        [row for row in rows[one.name] if one.params.get("symbol") in {None, row["symbol"]}] for one in asked
    ]


def run(conversation, positions, orders=()):
    """Hold a conversation; return what was asked in each round, and what was seen."""
    asked, rounds = conversation.send(None), []
    while True:
        rounds.append([(one.name, one.params.get("symbol")) for one in asked])
        try:
            asked = conversation.send(answer(asked, positions, orders))
        except StopIteration as done:
            return rounds, done.value


def test_the_first_look_is_at_everything():
    """It finds what earlier runs left on symbols that nobody knows of."""
    spent = []
    reads = AccountReads(list, spent.append)
    rounds, seen = run(reads.read(None), [position("A")], [order("B", "xs-aaaaaaaa-t1-1")])
    assert rounds == [[("orders", None), ("algos", None), ("positions", None)]]
    assert (seen.is_complete, len(seen.orders), spent) == (True, 1, [WEIGHT_OF_ALL])


def test_later_looks_list_orders_by_symbol():
    """Of those with a position, or an order of the executor; what others have elsewhere does not matter."""
    spent = []
    reads = AccountReads(list, spent.append)
    left = [order("B", "xs-aaaaaaaa-t1-1"), order("C", "somebody")]
    run(reads.read(None), [position("A")], left)
    rounds, seen = run(reads.read(None), [position("A")], left)
    stores = [(name, symbol) for symbol in "AB" for name in ("orders", "algos")]
    assert rounds == [[("positions", None), *stores]]
    assert [one.symbol for one in seen.orders] == ["B"]
    assert spent == [WEIGHT_OF_ALL, 9]


def test_a_new_symbol_is_read_in_a_second_round():
    """Nothing is decided of a position whose orders were not read."""
    reads = AccountReads(list)
    run(reads.read(None), [position("A")])
    rounds, seen = run(reads.read(None), [position("A"), position("N")], [order("N", "hand")])
    assert rounds[1] == [("orders", "N"), ("algos", "N")]
    assert [one.symbol for one in seen.orders] == ["N"]


def test_what_a_look_at_one_symbol_shows_is_remembered():
    """An order that is left where a position was is looked for until it is gone."""
    reads = AccountReads(list)
    run(reads.read(None), [])
    left = [order("N", "xs-aaaaaaaa-t1-1")]
    run(reads.read("N"), [], left)
    assert run(reads.read(None), [], left)[0] == [[("positions", None), ("orders", "N"), ("algos", "N")]]
    run(reads.read("N"), [])
    assert run(reads.read(None), [])[0] == [[("positions", None)]]


def test_a_failed_list_makes_the_look_incomplete():
    """And one of positions makes it useless, which is remembered as a problem."""
    reads = AccountReads(lambda: ["A"])
    run(reads.read(None), [position("A")])
    assert (run_failing(reads, "algos").is_complete, reads.problem) == (False, None)
    assert run_failing(reads, "positions").positions is None
    assert "positions could not be read" in reads.problem


def run_failing(reads, name):
    """Look at the account while one kind of list cannot be read; return what was seen."""
    conversation = reads.read(None)
    asked = conversation.send(None)
    answers = answer(asked, [position("A")])
    failed = [
        TimeoutError("late") if one.name == name else row for one, row in zip(asked, answers, strict=True)
    ]
    with pytest.raises(StopIteration) as done:
        conversation.send(failed)
    return done.value.value


def test_many_symbols_weigh_less_together():
    """From sixteen on, everything is read at once: so many requests would take their time."""
    symbols = [f"S{number}" for number in range(16)]
    reads = AccountReads(lambda: symbols)
    rows = [position(symbol) for symbol in symbols]
    run(reads.read(None), rows)
    assert (reads.weight(), weight_of_symbol()) == (WEIGHT_OF_ALL, 7)
    assert len(run(reads.read(None), rows)[0][0]) == 3
