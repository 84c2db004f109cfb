"""What opens the database stays inside, and TLS is as the DSN says: never less."""

import os
import shutil
import subprocess
import sys

import pytest
from made import PASSWORDS, fill, followed, ship, until

import exit_shim
from exit_shim.sinks.postgres import Dsn, PostgresError, UnreachableError
from exit_shim.sinks.postgres.queries import PostgresReader

WRONG = "pLaNtEd-Wrong-Pa55"
PIECES = [piece for secret in (*PASSWORDS.values(), WRONG) for piece in (secret, secret[:12], secret[-12:])]


def cli(*arguments, path, **environment):
    """Run a command; all that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "exit_shim", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(path), **environment},
    )
    return f"{done.returncode} {done.stdout}{done.stderr}"


def assert_clean(text):
    assert [piece for piece in PIECES if piece in text] == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda dsn: dsn,
        lambda dsn: dsn.replace(PASSWORDS["writer"], WRONG),
        lambda dsn: dsn.replace(PASSWORDS["writer"], f"%zz{WRONG}"),
        lambda dsn: dsn.replace("127.0.0.1", "[127.0.0.1"),
        lambda dsn: dsn + f"?nonsense={WRONG}",
        lambda dsn: dsn.replace(PASSWORDS["writer"], f"x@{WRONG}"),
        lambda dsn: dsn.replace(PASSWORDS["writer"], f"x/{WRONG}"),
        lambda dsn: dsn.replace(PASSWORDS["writer"], f"{WRONG}/x"),
        lambda dsn: dsn.replace(PASSWORDS["writer"], f"{WRONG}?x"),
        lambda dsn: dsn.replace(PASSWORDS["writer"], f"x?{WRONG}"),
        lambda dsn: dsn.replace("postgresql://", "mysql://"),
        lambda dsn: dsn.replace(":", "::", 1),
        lambda dsn: dsn + f"?sslpassword={WRONG}&sslkey=/nowhere&sslcert=/nowhere&sslmode=require",
        lambda dsn: f"host=127.0.0.1 password={WRONG}",
    ],
)
def test_no_password_is_ever_shown(server, central, path, spoil):
    """Right, wrong or malformed, whatever becomes of it: no output, log or file tells of it."""
    fill(path, 3)
    before = server.log.stat().st_size
    dsn = spoil(central.writer)
    said = cli("ship", "--once", "--to", dsn, path=path)
    for option in ("--once", "--migrate"):
        said += cli("ship", option, path=path, EXIT_SHIM_SHIP_TO=dsn)
    assert_clean(said)
    kept = {
        file.name: file.read_bytes().decode("latin-1") for file in path.parent.rglob("*") if file.is_file()
    }
    assert "journal.db" in kept
    assert_clean("".join(kept.values()))
    assert_clean(server.log.read_text()[before:])


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        ("ship --once --to", "EXIT_SHIM_SHIP_TO"),
        ("ship --migrate --to", "EXIT_SHIM_SHIP_TO"),
        ("summary --from", "EXIT_SHIM_FROM"),
        ("records --json --from", "EXIT_SHIM_FROM"),
        ("explain 1 --from", "EXIT_SHIM_FROM"),
        ("verify --from", "EXIT_SHIM_FROM"),
        ("whatif --policy none.toml --from", "EXIT_SHIM_FROM"),
    ],
)
@pytest.mark.parametrize("form", ["{} {}", "{}={}"])
def test_a_password_on_the_command_line_is_refused(central, path, command, variable, form):
    """Nothing is done with such a DSN; the message names the variable for it, and shows nothing of it."""
    fill(path, 3)
    printed = cli(*form.format(command, central.writer).split(), path=path)
    assert printed.startswith("2 ")
    assert f"put the DSN into {variable}" in printed
    assert_clean(printed)
    assert central.count() == 0


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://u:{WRONG}@h/d",
        f"postgres://u:{WRONG}/x@h/d",
        f"postgresql://u@h/d?sslmode=require&password={WRONG}",
        f"postgresql://u@h/d?sslpassword={WRONG}",
        f"host=h Password = '{WRONG}'",
    ],
)
def test_every_form_of_a_password_is_refused(dsn, path):
    """Behind the user, among the options, of a TLS key, or in libpq's other form."""
    printed = cli("ship", "--to", dsn, path=path)
    assert printed.startswith("2 ")
    assert "has a password" in printed
    assert_clean(printed)


def test_a_dsn_without_a_password_is_taken(path):
    """A port, an IPv6 host and a user do not look like a password."""
    fill(path, 3)
    for dsn in ("postgresql://u@[::1]:1/d?application_name=x", "postgresql://127.0.0.1:1/d"):
        printed = cli("ship", "--once", "--to", dsn, path=path)
        assert "cannot be reached" in printed


def test_the_variable_takes_a_password(central, path):
    """The DSN of the environment is used as it is, and the session carries the shim's name."""
    fill(path, 3)
    environment = {**os.environ, "EXIT_SHIM_JOURNAL": str(path), "EXIT_SHIM_SHIP_TO": central.writer}
    with subprocess.Popen([sys.executable, "-m", "exit_shim", "ship"], env=environment) as own:
        until(lambda: central.count() > 0)
        ((name,),) = central.rows("SELECT application_name FROM pg_stat_activity WHERE usename = 'writer'")
        own.terminate()
    assert name == "exit_shim"


def test_a_bots_own_arguments_are_left_alone(tmp_path):
    """What follows `run` is the bot's, a DSN among it or not."""
    bot = tmp_path / "bot.py"
    bot.write_text("import sys; print(sys.argv[1:])")
    said = cli("run", str(bot), "--to", "postgresql://a:b@c/d", path=tmp_path / "journal.db")
    assert "['--to', 'postgresql://a:b@c/d']" in said


def test_a_bots_log_and_summary_have_no_password(central, tmp_path, caplog, monkeypatch):
    """Shipping from the bot's process with a wrong password: the log says what is wrong, and no more."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
    for dsn in (central.writer.replace(PASSWORDS["writer"], WRONG), f"postgresql://u:%zz{WRONG}@h/d"):
        shim = exit_shim.ExitShim(journal=tmp_path / "journal.db", ship_to=dsn, sinks=[])
        exit_shim.wrap(object(), shim=shim)
        until(lambda shim=shim: shim.internal_errors.count)
        caplog.set_level("INFO", "exit_shim")
        shim.log_summary()
        shim.close()
        assert_clean(repr(shim.summary()) + repr(vars(shim)))
    assert "cannot read this PostgreSQL DSN" in caplog.text
    assert "password authentication failed" in caplog.text
    assert_clean(caplog.text + "".join(str(vars(record)) for record in caplog.records))


def test_an_address_is_named_without_user_and_secrets():
    """The name is the same for all who ship to a database, whatever they log in with."""
    names = {
        Dsn(dsn).name
        for dsn in (
            "postgresql://one:secret@db.invalid/exits?sslmode=require",
            "postgres://two@db.invalid:5432/exits",
            "postgresql://db.invalid/exits?user=three&password=secret",
        )
    }
    assert names == {"postgresql://db.invalid:5432/exits"}
    assert repr(Dsn("postgresql://u:secret@h/d")) == "Dsn('postgresql://h:5432/d')"
    for dsn in ("exits", "postgresql:/h", "host=h", "mysql://u:secret@h/d", "postgresql://h/d?secret=secret"):
        with pytest.raises(PostgresError) as caught:
            Dsn(dsn)
        assert "secret" not in str(caught.value)


def test_a_server_without_tls_is_refused_where_tls_is_asked_for(central, path):
    """With sslmode=require nothing is sent in the clear: neither shipping nor reading falls back."""
    fill(path, 3)
    for act in (
        lambda: ship(path, central.writer + "?sslmode=require"),
        lambda: PostgresReader(central.reader + "?sslmode=require").read_runs(),
    ):
        with pytest.raises(UnreachableError, match="does not support SSL, but SSL was required"):
            act()
    assert central.count() == 0


@pytest.fixture
def tls(server, tmp_path):
    """The server with a certificate of its own; its path, which is its own authority, too."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    for name in ("server", "other"):
        subprocess.run(
            f"{openssl} req -new -x509 -days 2 -nodes -newkey rsa:2048 -subj /CN=localhost "
            f"-addext subjectAltName=IP:127.0.0.1 -keyout {name}.key -out {name}.crt",
            shell=True,
            check=True,
            capture_output=True,
            cwd=tmp_path,
        )
    for name in ("server.key", "server.crt"):
        server.put(name, (tmp_path / name).read_text())
    server.admin("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
    yield tmp_path
    server.admin("ALTER SYSTEM RESET ssl", "SELECT pg_reload_conf()")
    until(lambda: server.admin("SHOW ssl") == [("off",)])


def test_tls_is_as_the_dsn_says(central, path, tls):
    """verify-full takes the server's own authority and no other; the session is encrypted."""
    fill(path, 3)
    full = f"{central.writer}?sslmode=verify-full&sslrootcert={tls}"
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        ship(path, f"{full}/other.crt")
    assert central.count() == 0
    until(lambda: central.server.admin("SHOW ssl") == [("on",)])
    with followed(path, f"{full}/server.crt") as told:
        until(lambda: told.events)
        assert central.rows(
            "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'writer'"
        ) == [(True,)]
