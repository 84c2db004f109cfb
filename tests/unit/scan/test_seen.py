"""The join of a scan with recorded orders: by file and the span of the call."""

import textwrap

import pytest

from exit_shim.domain.attributions import Attribution, Step
from exit_shim.domain.events import Intent, Record
from exit_shim.domain.orders import ExitOrder
from exit_shim.scan.scan import scan
from exit_shim.scan.seen import Seen, count_seen

BOT = """\
def stop(client):
    place = client.futures_create_order
    place(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1,
          closePosition=True)

def send(client, **params):
    client.futures_create_order(**params)

def target(client):
    send(client, type="TAKE_PROFIT_MARKET", closePosition=True)
"""


@pytest.fixture
def bot(tmp_path):
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "exits.py").write_text(textwrap.dedent(BOT))
    return tmp_path / "bot"


def record(file, line, ts=1, chain=(), evidence="stack"):
    return Record(
        run_id="r",
        seq=ts,
        intent=Intent(
            ts=ts,
            door="futures_create_order",
            operation="place",
            order=ExitOrder(kind="sl"),
            attribution=Attribution(
                module="exits", evidence=evidence, file=str(file), line=line, chain=tuple(chain)
            ),
            mode="LEGACY",
        ),
    )


def seen_lines(bot, *records):
    return {site.line: seen for site, seen in count_seen(scan(bot), records).items()}


def test_any_line_of_the_call_and_the_line_that_fetched_count(bot):
    """A record may name any line of a call, or the line where its method was fetched."""
    file = bot / "exits.py"
    records = (record(file, 4, ts=5), record(file, 3, ts=9), record(file, 2, ts=7), record(file, 6, ts=8))
    assert seen_lines(bot, *records) == {3: Seen(3, 9)}


def test_copies_of_a_file_do_not_collide(bot, tmp_path):
    """A file of the same name elsewhere on this machine is another file."""
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "exits.py").write_text(BOT)
    assert seen_lines(bot, record(tmp_path / "copy" / "exits.py", 3)) == {}


def test_a_bot_that_ran_on_another_machine(bot):
    """A path that is not here is matched by its longest end; a module that two files may be, by none."""
    assert seen_lines(bot, record("/srv/app/exits.py", 3)) == {3: Seen(1, 1)}
    (bot / "b").mkdir()
    (bot / "b" / "exits.py").write_text(BOT)
    found = scan(bot)
    (seen,) = count_seen(found, [record("/srv/app/b/exits.py", 3)])
    assert seen.file == "b/exits.py"
    for folder in ("c", "d"):
        (bot / folder).mkdir()
        (bot / folder / "same.py").write_text(BOT)
    chain = [Step("same", "passthrough", "send", 7)]
    assert count_seen(scan(bot), [record("/srv/app/same.py", 10, chain=chain)]) == {}


def test_a_helper_and_its_caller_are_both_seen(bot):
    """Of an order that came through a passthrough helper, the call inside it counts too."""
    chain = (Step("exits", "passthrough", "send", 7), Step("exits", "chosen", "target", 10))
    assert seen_lines(bot, record(bot / "exits.py", 10, chain=chain)) == {7: Seen(1, 1), 10: Seen(1, 1)}
