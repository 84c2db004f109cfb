"""A cluster that pytest-postgresql starts from the system's binaries, for tests and benchmarks."""

import contextlib
import os
import shutil
import socket
import stat
from pathlib import Path

import psycopg
from made import until
from pytest_postgresql.executors import PostgreSQLExecutor

ADMIN = "admin"
ACCESS = f"""\
local all all trust
host all {ADMIN} 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


def pg_ctl():
    """The newest installed server's own command, or None."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[4]), reverse=True
    )
    return str(installed[0]) if installed else shutil.which("pg_ctl")


def script_around(command, folder):
    """A script that runs the command, for root as somebody else, since PostgreSQL refuses root.

    Without mirakuru's mark: whoever has imported mirakuru kills, when it exits, every process whose mark
    contains its own process id anywhere, also as a few digits of a UUID.
    """
    how = "env -u mirakuru_uuid"
    if os.geteuid() == 0:
        somebody = "nobody"
        shutil.chown(folder, somebody)
        how += f" setpriv --reuid={somebody} --regid=nogroup --clear-groups"
    script = folder / "pg_ctl"
    script.write_text(f'#!/bin/sh\ncd / && exec {how} {command} "$@"\n')
    script.chmod(0o755)
    return str(script)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Server:
    """One cluster on a port of its own; `stop` and `start` make an outage, `ssl` a server with TLS."""

    def __init__(self, folder, options="-c log_statement=all"):
        self.folder = folder
        self.port = free_port()
        self.log = folder / "log"
        self.executor = PostgreSQLExecutor(
            executable=script_around(pg_ctl(), folder),
            host="127.0.0.1",
            port=self.port,
            datadir=str(folder / "data"),
            unixsocketdir=str(folder),
            logfile=str(self.log),
            startparams="-w",
            dbname="postgres",
            user=ADMIN,
            postgres_options=f"-c listen_addresses=127.0.0.1 {options}",
        )
        self.executor.init_directory()
        self.put("pg_hba.conf", ACCESS)
        self.start()

    def put(self, name, text):
        """A file of the cluster's, owned by whoever owns the cluster."""
        path = self.folder / "data" / name
        path.write_text(text)
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        return path

    def start(self):
        self.executor.start()
        until(self.is_ready)  # the port is open before that

    def is_ready(self):
        with contextlib.suppress(psycopg.OperationalError):
            return self.admin("SELECT true")
        return False

    def stop(self):
        self.executor.stop()

    def kill_sessions(self):
        """End every session but this one, as a failover does."""
        self.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def admin(self, *statements, database="postgres"):
        with psycopg.connect(self.dsn(ADMIN, database), autocommit=True) as connection:
            for statement in statements:
                found = connection.execute(statement)
        return found.fetchall() if found.description else None

    def dsn(self, user, database, password=None, **options):
        secret = "" if password is None else f":{password}"
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}" + ("?" + query) * bool(query)
