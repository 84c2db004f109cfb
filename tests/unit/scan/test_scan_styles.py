"""What a scan finds in bots of many styles: every marked line, and nothing else."""

import re

import pytest
from scan_elsewhere_sources import ELSEWHERE_SOURCES
from scan_sources import SOURCES

from exit_shim.scan.scan import scan

STYLES = {**SOURCES, **ELSEWHERE_SOURCES}
MARK = re.compile(r"# site: (\w+) (\w+) (\w+) ?(\S*)$")


def marked(text):
    """Return the marked lines of a source: line, action, how, reach and kind."""
    rows = ((number, MARK.search(line)) for number, line in enumerate(text.split("\n"), start=1))
    return [(number, match[1], match[2], match[3], match[4] or None) for number, match in rows if match]


@pytest.mark.parametrize("style", STYLES)
def test_each_marked_line_is_found_and_nothing_else(tmp_path, style):
    """A scan finds the lines that send, says what they do, how, and what the shim needs to see them."""
    (tmp_path / "bot.py").write_text(STYLES[style], encoding="utf-8")
    found = [
        (site.line, site.action, site.how, site.reach, site.kind)
        for site in scan(tmp_path).sites
        if site.is_leaf
    ]
    assert found == marked(STYLES[style])
