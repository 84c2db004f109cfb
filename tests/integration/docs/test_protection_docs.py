"""The page "From plan to protection", followed word by word in three terminals."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest
from repository import ROOT

from exit_shim.journal import JournalReader

pytestmark = pytest.mark.xdist_group("protection docs")  # whose workers share what a fixture has run

PAGE = (ROOT / "docs/how-to/from-plan-to-protection.md").read_text()

PATIENCE_S = 120

SHOWN_AT_ONCE = {
    "3. Protect": ["58800.1", "61800."],
    "4. Move the market": ["58800.1", "60000.1", "0.050"],
    "6. Out": ["no positions, no open orders"],
}
"""What `exchange state` shows below a heading; the executor gets there in a moment."""

SHOWN_IN_TERMINAL_2 = {"protect pause": "HANDS_OFF", "exchange set BTCUSDT 59990": "FLAT"}
"""What the executor shows after a command, in a moment."""


def free_port():
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Reader:
    """Somebody who follows the page in three terminals."""

    def __init__(self, folder):
        self.folder = folder
        self.port = str(free_port())
        self.environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.running = []
        self.printed = []

    def follow(self):
        """Write the files and run the commands, in their order."""
        for section in PAGE.split("\n## ")[1:]:
            heading = section.partition("\n")[0]
            on_my_port = section.replace("8080", self.port)
            for kind, block in re.findall(r"```(toml|python|console)\n(.*?)```", on_my_port, re.DOTALL):
                if kind == "console":
                    for line in block.splitlines():
                        if line.startswith("$ "):
                            self.do(line.removeprefix("$ "), heading)
                elif name := re.match(r"# (\S+)", block):
                    (self.folder / name[1]).write_text(block)

    def do(self, line, heading):
        """Run one line; those that do not end by themselves go on in the background."""
        command, _, _ = line.partition("; echo $?")
        words = shlex.split(command)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environment[name] = value
            return
        if words[:2] == ["exit-shim", "exchange"] and words[2] not in {"set", "state"}:
            self.start(words, "listening on")
        elif words[:2] == ["exit-shim", "protect"] and "--plans" in words and "--once" not in words:
            self.start(words, " PROTECTED ")
        else:
            # A local exchange on another port than the page's has to be named.
            asked = ["--url", f"127.0.0.1:{self.port}"] if words[1] == "exchange" else []
            self.run(line, [*words, *asked], heading, may_fail="; echo" in line)

    def run(self, line, words, heading, *, may_fail):
        """Run a command to its end; `exchange state` again until it shows what it should."""
        expected = SHOWN_AT_ONCE.get(heading, []) if words[1:3] == ["exchange", "state"] else []
        end = time.monotonic() + PATIENCE_S
        while True:
            done = subprocess.run(
                self.arguments(words),
                capture_output=True,
                text=True,
                check=False,
                cwd=self.folder,
                env=self.environment,
                timeout=PATIENCE_S,
            )
            assert may_fail or done.returncode == 0, (line, done.stderr[-2000:])
            if all(text in done.stdout for text in expected):
                break
            assert time.monotonic() < end, (line, done.stdout)
            time.sleep(0.1)
        self.printed.append((line, done.stdout, done.returncode))
        for begin, text in SHOWN_IN_TERMINAL_2.items():
            if begin in line:
                self.wait_for(*self.running[1], text)

    def arguments(self, words):
        """The command with this Python."""
        if words[0] == "exit-shim":
            return [sys.executable, "-m", "exit_shim", *words[1:]]
        assert words[0] == "python"
        return [sys.executable, *words[1:]]

    def start(self, words, ready):
        """Start what goes on until it is stopped, and wait until it shows a text."""
        path = self.folder / f"terminal-{len(self.running) + 1}.txt"
        with path.open("w") as output:
            process = subprocess.Popen(
                self.arguments(words),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment,
            )
        self.running.append((process, path))
        self.wait_for(process, path, ready)

    def wait_for(self, process, path, text):
        """Wait until a terminal shows a text."""
        end = time.monotonic() + PATIENCE_S
        while text not in path.read_text():
            assert process.poll() is None, path.read_text()
            assert time.monotonic() < end, path.read_text()
            time.sleep(0.05)

    def stop(self):
        """Press Ctrl-C in each terminal; return what the executor has printed."""
        for process, _ in reversed(self.running):
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_S)
        return self.running[1][1].read_text()


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A reader who has followed the page to its end, and has stopped what runs."""
    one = Reader(tmp_path_factory.mktemp("protection"))
    try:
        one.follow()
        one.terminal = one.stop()
    finally:
        for process, _ in one.running:
            if process.poll() is None:
                process.kill()
                process.wait()
    return one


def outputs(reader, words):
    """What the commands with these words have printed, and their statuses."""
    return [(output, status) for line, output, status in reader.printed if words in line]


def test_without_a_plan_it_only_looks(reader):
    """The first look says that the position is bare, with status 1."""
    ((output, status),) = outputs(reader, "--local 127.0.0.1")[:1]
    assert (status, "UNPROTECTED  guarded 0 of 0.1" in output) == (1, True)


def test_the_dry_run_says_what_the_page_says(reader):
    """The step that the page quotes is printed, with status 1."""
    ((output, status),) = outputs(reader, "--dry-run")
    (quoted,) = re.findall(r"`(would place .*?)`", PAGE)
    assert (status, quoted in output) == (1, True)


def test_the_executor_shows_what_happens(reader):
    """It begins with what it works on, follows the position to its end, and stops on Ctrl-C."""
    for text in ("account ", "plans ", "journal ", "lease ", "streams ", "PROTECTED", "HANDS_OFF", "FLAT"):
        assert text in reader.terminal
    assert "stopped; every order stays at the exchange" in reader.terminal


def test_the_steps_are_shown(reader):
    """The steps are listed, and the summary has the position's last one."""
    (first, _), *_, (last, _) = outputs(reader, "records --steps")
    assert re.search(r"place +hs +58800\.1 +whole position", first)
    assert re.search(r"place +be +60000", last)
    assert re.search(r"BTCUSDT +BOTH +swing@\w+ r1", outputs(reader, "summary")[0][0])


def test_the_switches_are_in_the_journal(reader):
    """Who paused and resumed."""
    events = JournalReader(reader.folder / "protection.db").read_events()
    bodies = [event.body for event in events if event.event == "switch"]
    assert bodies == [
        f'{{"by":"the desk","protect":"{state}","symbol":"BTCUSDT"}}' for state in ("pause", "resume")
    ]
