"""Log lines: in the app's own structlog pipeline or its stdlib logging; nobody's configuration changed."""

import asyncio
import contextlib
import json
import logging

import pytest
import structlog
from log_capture import flush_all

import exit_shim
from exit_shim.runtime.logs import logger

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50_000, "quantity": 0.01}
STOP["reduceOnly"] = True


class Fake:
    """A bot's own stand-in for the client."""

    def __init__(self, error=None):
        self.error = error

    def futures_create_order(self, **params):
        if self.error:
            raise self.error
        return {"orderId": 7}


def place(error=None):
    """Place one stop of the legacy module position_monitor, and wait for its log lines."""
    with exit_shim.attributed("position_monitor", explanation="why\n[EXIT_GUARD] not so"):
        expected = pytest.raises(type(error)) if error else contextlib.nullcontext()
        with expected:
            exit_shim.wrap(Fake(error)).futures_create_order(**STOP)
    flush_all()


@pytest.fixture
def lines(caplog):
    """What the stdlib logger `exit_shim` got: level and text of each line."""
    caplog.set_level(logging.DEBUG, "exit_shim")

    def read():
        assert {record.name for record in caplog.records} <= {"exit_shim"}
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    return read


def test_without_structlog_the_lines_are_where_the_bots_own_are(lines):
    """Submission and conclusion go to the stdlib logger, prefix first, fields rendered on one line."""
    place()
    (level, submitted), (_, accepted) = lines()
    assert level == "INFO"
    assert submitted.startswith("[EXIT_GATEWAY] submitting exit order kind=sl symbol=BTCUSDT ")
    assert "module=position_monitor" in submitted
    assert "trigger_price=50000" in submitted
    assert accepted.startswith("[EXIT_GATEWAY] exit order accepted kind=sl ")
    assert "order_id=7" in accepted


def test_a_strangers_line_break_is_no_line_of_ours(lines):
    """A text with line breaks stays on its line, so that it cannot pass for another."""
    place()
    place(ValueError("<html>\r\n\x1b[31m[EXIT_GATEWAY] exit order accepted\u2028</html>"))
    said = [text for _, text in lines()]
    assert all(text.isprintable() for text in said)
    assert r'explanation="why\n[EXIT_GUARD] not so"' in said[0]


def test_the_fields_come_along_for_formatters(caplog):
    """A formatter of the app finds the fields as `record.exit_shim`."""
    caplog.set_level(logging.INFO, "exit_shim")
    place()
    assert caplog.records[1].exit_shim["order_id"] == 7
    assert caplog.records[0].exit_shim["module"] == "position_monitor"


def test_a_conflict_is_a_warning(lines, monkeypatch):
    """In EXIT_BRAIN_V3 a legacy module's exit is warned of under [EXIT_GUARD], before its submission."""
    monkeypatch.setenv("EXIT_MODE", "EXIT_BRAIN_V3")
    place()
    (level, said), (_, submitted), _ = lines()
    assert level == "WARNING"
    assert said.startswith("[EXIT_GUARD] OWNERSHIP_CONFLICT code=OWNERSHIP_CONFLICT meaning=")
    assert "module=position_monitor" in said
    assert submitted.startswith("[EXIT_GATEWAY] submitting")


def test_an_order_in_doubt_is_an_error(lines):
    """An order that may rest at the exchange unseen is logged at ERROR, with what to look it up by."""
    place(TimeoutError("no answer"))
    level, said = lines()[-1]
    assert level == "ERROR"
    assert said.startswith("[EXIT_GATEWAY] exit order IN DOUBT")
    assert 'error="TimeoutError: no answer"' in said


def test_an_order_that_never_left_is_a_warning(lines):
    """Not sent is a warning: nothing rests anywhere, but somebody wanted it to."""
    place(ConnectionRefusedError("nobody there"))
    level, said = lines()[-1]
    assert (level, said.startswith("[EXIT_GATEWAY] exit order NOT SENT")) == ("WARNING", True)


def test_mode_and_metrics_have_their_prefixes(lines, monkeypatch):
    """[EXIT_MODE] warns of a mode that is none, once; [EXIT_METRICS] carries the counts."""
    monkeypatch.setenv("EXIT_MODE", "NONSENSE")
    place()
    assert exit_shim.get_exit_mode() == "LEGACY"
    exit_shim.log_exit_metrics_summary()
    said = lines()
    assert [(level, text[:11]) for level, text in said if "EXIT_MODE" in text] == [("WARNING", "[EXIT_MODE]")]
    assert "NONSENSE" in said[0][1]
    level, text = said[-1]
    assert (level, text[:14]) == ("INFO", "[EXIT_METRICS]")
    assert "total_orders=1" in text


def test_a_configured_structlog_gets_the_events(capsys, caplog):
    """The app's processors see each event with its fields as keys; the stdlib logger gets nothing besides."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.JSONRenderer(),
        ]
    )
    with structlog.contextvars.bound_contextvars(bot="alpha"):
        place(TimeoutError())
    submitted, doubtful = map(json.loads, capsys.readouterr().out.splitlines())
    assert submitted["event"] == "[EXIT_GATEWAY] submitting exit order"
    assert (submitted["bot"], submitted["module"], submitted["kind"]) == (
        "alpha",
        "position_monitor",
        "sl",
    )
    assert (doubtful["level"], doubtful["error"]) == ("error", "TimeoutError")
    assert caplog.records == []


def test_structlog_through_the_stdlib(caplog):
    """An app whose structlog ends in the stdlib gets our events under the logger's name `exit_shim`."""
    caplog.set_level(logging.INFO)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    place()
    assert [(record.name, record.msg["logger"]) for record in caplog.records] == [
        ("exit_shim", "exit_shim")
    ] * 2
    assert caplog.records[1].msg["order_id"] == 7


def test_structlog_rendering_to_stdlib_extra(caplog):
    """An app that renders to `extra`, where the stdlib forbids the key `module`, gets lines, not errors."""
    caplog.set_level(logging.INFO)
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    place()
    assert [record.getMessage()[:25] for record in caplog.records] == [
        "[EXIT_GATEWAY] submitting",
        "[EXIT_GATEWAY] exit order",
    ]
    assert caplog.records[1].exit_shim["order_id"] == 7


def test_structlog_configured_later_is_followed(lines, capsys):
    """The app may configure structlog after the shim was made, even after its first line."""
    place()
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    place()
    assert len(lines()) == 2
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_apps_record_factory_is_used(lines, caplog):
    """Where the app's record factory adds an attribute, our records have it: its formatters need it."""
    former = logging.getLogRecordFactory()

    def with_request_id(*args, **kwargs):
        record = former(*args, **kwargs)
        record.request_id = "r1"
        return record

    logging.setLogRecordFactory(with_request_id)
    try:
        place()
    finally:
        logging.setLogRecordFactory(former)
    assert {record.request_id for record in caplog.records} == {"r1"}


def test_levels_and_switches_of_the_stdlib_hold(lines, caplog):
    """The app's level for `exit_shim` decides, and so does `logging.disable`."""
    logging.getLogger("exit_shim").setLevel(logging.ERROR)
    place()
    assert lines() == []
    place(TimeoutError())
    assert [level for level, _ in lines()] == ["ERROR"]
    logging.disable()
    try:
        place(TimeoutError())
    finally:
        logging.disable(logging.NOTSET)
    assert len(lines()) == 1


async def test_nobodys_configuration_is_changed(monkeypatch):
    """Importing, wrapping, placing and summing up leave logging and structlog as they were."""

    def state():
        ours, root = logging.getLogger("exit_shim"), logging.getLogger()
        return (
            [(each.level, list(each.handlers), list(each.filters), each.propagate) for each in (ours, root)],
            logging.getLogRecordFactory(),
            logging.getLoggerClass(),
            structlog.is_configured(),
            structlog.get_config(),
        )

    before = state()
    monkeypatch.setenv("EXIT_MODE", "EXIT_BRAIN_V3")
    place()
    place(TimeoutError())
    await asyncio.gather(exit_shim.submit_exit_order("m", "BTCUSDT", STOP, "sl", Fake()))
    exit_shim.log_exit_metrics_summary()
    logger().warning("[EXIT_MODE] by hand", a=1)
    assert state() == before
