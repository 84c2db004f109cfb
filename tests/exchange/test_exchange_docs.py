"""The page about the local exchange tells the truth."""

import re

import pytest
from repository import ROOT

from exit_shim.exchange.engine import errors
from exit_shim.testing import faults

PAGE = (ROOT / "docs/reference/exchange.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

ROW = re.compile(r"^\| (-\d+) \| (\d+) \| (.+) \|$", re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(example):
    """Each snippet of the page stands on its own."""
    exec(compile(example, "docs/exchange.md", "exec"), {})


def test_every_fault_is_listed():
    """The table has exactly the faults that there are."""
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(set(faults.__all__) - {"Fault", "FaultPlan", "Injection"})


def test_codes_that_are_said_to_be_missing_are():
    """No code is both defined and listed as one that nothing leads to."""
    listed = PAGE.split("nothing here leads to:")[1].split("They need")[0]
    missing = {int(code) for code in re.findall(r"-\d{4}", listed)}
    assert missing.isdisjoint(
        value.code for value in vars(errors).values() if isinstance(value, errors.Refusal)
    )


def test_every_error_is_listed_with_its_text():
    """The page of errors has exactly the codes, statuses and texts that the exchange answers with."""
    page = (ROOT / "docs/reference/exchange-errors.md").read_text(encoding="utf-8")
    listed = {(int(code), int(status), text) for code, status, text in ROW.findall(page)}
    defined = {
        (value.code, value.http_status, value.text)
        for value in vars(errors).values()
        if isinstance(value, errors.Refusal)
    }
    assert listed == defined
