"""The calls of before 2025-12-09 that a scan names: every marked line, and nothing else."""

import re

import pytest
from repository import ROOT
from scan_outdated_sources import SOURCES

from exit_shim.scan.scan import scan

MARK = re.compile(r"# outdated: (\w+)$")


def marked(text):
    """Return the marked lines of a source with their codes."""
    rows = ((number, MARK.search(line)) for number, line in enumerate(text.split("\n"), start=1))
    return [(number, match[1]) for number, match in rows if match]


@pytest.mark.parametrize("style", SOURCES)
def test_each_marked_line_is_named_and_nothing_else(tmp_path, style):
    """A scan names the lines that the move of conditional orders broke."""
    (tmp_path / "bot.py").write_text(SOURCES[style], encoding="utf-8")
    assert [(row.line, row.code) for row in scan(tmp_path).outdated] == marked(SOURCES[style])


def test_the_bot_of_2024():
    """The example bot of before the move is named line by line; the other example has moved."""
    rows = scan(ROOT / "examples" / "bot_of_2024").outdated
    assert [(row.code, row.function) for row in rows] == [
        ("ALGO_STORE_IGNORED", "Bot.place"),
        *[("ALGO_ID_IGNORED", "Bot.place")] * 3,
        ("ALGO_STORE_IGNORED", "Bot.trade"),
        ("ALGO_STORE_IGNORED", "Bot.run"),
    ]
    assert scan(ROOT / "examples" / "legacy_bot").outdated == ()
