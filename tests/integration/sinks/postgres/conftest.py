"""A real PostgreSQL for all tests of this folder, and a database for each."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import psycopg
import pytest
from made import PASSWORDS, Database
from servers import Server, pg_ctl

from exit_shim.sinks.postgres import Dsn, migrate


@pytest.fixture(scope="session")
def server():
    """The cluster of all tests; skipped by name where PostgreSQL is not installed."""
    if pg_ctl() is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="exit-shim-pg-"))
    try:
        own = Server(folder)
        yield own
        own.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def central(server, request):
    """A migrated database of its own, with a login for each role."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    server.admin(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    database = Database(server, name)
    migrate(Dsn(database.admin))
    for role, password in PASSWORDS.items():
        with contextlib.suppress(psycopg.errors.DuplicateObject):
            server.admin(f"CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE exit_shim_{role}")
    yield database
    server.admin(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def path(tmp_path):
    """Where a test's journal is."""
    return tmp_path / "journal.db"
