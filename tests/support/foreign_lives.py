"""Run the lives of clients that others wrote, each on a local exchange of its own, and tell how they went."""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exit_shim.exchange.authority import Authority
from exit_shim.exchange.unanswered import Unanswered
from exit_shim.testing import LocalExchange

FOLDER = Path(__file__).parent / "foreign_clients"
PATIENCE = 120
"""Seconds that a life may take."""


@dataclass(frozen=True)
class Outcome:
    """How a life went: its steps, what the exchange could not answer, and all that the client printed."""

    passed: list[str]
    failed: list[str]
    unanswered: list[Unanswered]
    output: str

    @property
    def is_well(self):
        """Return whether every step passed."""
        return bool(self.passed) and not self.failed


def run_life(command, life, *, rules=None):
    """Live the life in a file of this folder, or elsewhere, with an interpreter given as a command."""
    authority = Authority()
    exchange = LocalExchange(tls=authority, trigger_delay=(17, 400), rules=rules)
    with exchange, tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
        pem.write(authority.pem)
        pem.flush()
        arguments = [str(FOLDER / life), exchange.url, str(exchange.tls_port), pem.name]
        # `timeout` ends the life's children too.
        ended = subprocess.run(
            ["timeout", f"{PATIENCE}", *command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        passed = re.findall(r"^passed (.*)", ended.stdout, re.MULTILINE)
        failed = re.findall(r"^FAILED (.*)", ended.stdout, re.MULTILINE)
        if ended.returncode and not failed:
            failed = [f"it ended with {ended.returncode}: {ended.stdout[-300:]}"]
        failed += [f"internal error: {error!r}" for error in exchange.internal_errors]
        return Outcome(passed, failed, exchange.unanswered, ended.stdout)


def main():
    """Live what standard input lists, and print a row of a table for each; return 1 if one went ill.

    A line has, between tabs: a label, the life, the day of the rules or nothing, the interpreter's command.
    """
    is_ill = False
    for line in sys.stdin:
        label, life, rules, *command = line.rstrip("\n").split("\t")
        outcome = run_life(command, life, rules=rules or None)
        is_ill |= not outcome.is_well
        steps = len(outcome.passed) + len(outcome.failed)
        print(f"| {label} | {len(outcome.passed)} of {steps} |", flush=True)
        for text in outcome.failed:
            print(f"  FAILED {text}", flush=True)
        for missing in outcome.unanswered:
            print(f"  not there: {missing.name}: {missing.reason or 'unknown'}", flush=True)
    return int(is_ill)


if __name__ == "__main__":
    sys.exit(main())
