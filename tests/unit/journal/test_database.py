"""The database file of the journal."""

from pathlib import Path

import pytest

from exit_shim.journal.database import file_uri


@pytest.mark.parametrize("name", ["journal.db", "a b/c%d.db", "ü?#:x.db", "\udcff.db"])
def test_the_uri_of_a_path_is_the_one_of_pathlib(name):
    """Whatever characters are in it, SQLite opens the very file."""
    path = Path("/srv") / name
    assert file_uri(path) == path.as_uri()
