"""The page for people who test their bot: its examples run as they stand, its tables are the code's."""

import re

import pytest
from repository import ROOT

from exit_shim.testing import LocalExchange
from exit_shim.testing.kit.exit_records import ExitRecords
from exit_shim.testing.kit.marker import MarkerArguments

PAGE = (ROOT / "docs/how-to/testing-your-bot.md").read_text()
FILES = {name: text for text, name in re.findall(r"```python\n(# (\w+\.py)\n.*?)```", PAGE, re.DOTALL)}


def section(heading):
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def first_cells(text):
    return re.findall(r"^\| `(\w+)", text, re.MULTILINE)


@pytest.fixture
def project(pytester):
    """All files of the page in one folder, and pytest as it comes."""
    for name, text in FILES.items():
        (pytester.path / name).write_text(text)
    return pytester


def test_every_python_block_is_a_file():
    """No example of the page escapes the tests below."""
    assert len(FILES) == PAGE.count("```python")


def test_a_bots_test_from_nothing_is_under_twenty_lines():
    """The first section's bot and test together, blank lines included."""
    names = re.findall(r"^# (\w+\.py)$", section("From nothing"), re.MULTILINE)
    assert sum(len(FILES[name].splitlines()) for name in names) < 20


def test_the_pages_tests_pass_as_they_stand(project):
    """A newcomer's run: nothing imported, nothing configured, every test of the page passes."""
    result = project.runpytest_subprocess(
        "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestDeprecationWarning"
    )
    tests = sum(text.count("def test_") for text in FILES.values())
    result.assert_outcomes(passed=tests)


def test_the_page_shows_what_a_failure_looks_like(project):
    """The listing on the page is the one that is printed."""
    shown = section("Who placed what").split("```text\n")[1].split("```")[0].splitlines()
    path = project.path / "test_who.py"
    path.write_text(path.read_text().replace("    with pytest.raises(AssertionError):\n    ", ""))
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "test_who.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E  *{line}" for line in shown])


def test_the_page_shows_what_a_bare_position_looks_like(project):
    """The lines on the page are those that are printed."""
    shown = section("Was it ever bare").split("```text\n")[1].split("```")[0].splitlines()
    path = project.path / "test_move.py"
    path.write_text(path.read_text().replace("    with pytest.raises(AssertionError):\n    ", ""))
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "test_move.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E  *{line}" for line in shown])


def test_the_script_without_pytest_runs(project):
    """The one example that is no test."""
    assert project.runpython("without_pytest.py").ret == 0


def test_the_tables_are_complete(pytester):
    """Fixtures, marker arguments, and what there is on the exchange: none missing, none made up."""
    listed = pytester.runpytest_subprocess("--fixtures", "-q").stdout.str()
    ours = listed.split("fixtures defined from exit_shim.testing.kit.fixtures")[1].split("fixtures defined")[
        0
    ]
    fixtures, exchange = section("The fixtures").split("Each test has an exchange of its own")
    assert sorted(first_cells(fixtures)) == sorted(re.findall(r"^(\w+) --", ours, re.MULTILINE))
    assert first_cells(section("Setting the scene")) == list(MarkerArguments.__struct_fields__)
    running = LocalExchange()
    assert all(
        hasattr(running, name) for name in re.findall(r"`(\w+)[`(]", exchange.split("\n\n")[1]) if name
    )
    told = section("Who placed what").split("```")[-1] + section("Was it ever bare").split("```")[-1]
    methods = {
        name for name, value in vars(ExitRecords).items() if not name.startswith("_") and callable(value)
    }
    assert set(re.findall(r"`(\w+)\(", told)) - {"flush"} == methods
