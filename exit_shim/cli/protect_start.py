"""What `exit-shim protect` says at its start: what it works on, and what it cannot know."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exit_shim.cli.output import pluralize
from exit_shim.clients.registry import clone_client
from exit_shim.configuration import is_disabled
from exit_shim.executor.executor import MODULE, ExitExecutor
from exit_shim.executor.plan_files import PlanFile
from exit_shim.journal import JournalError, JournalReader, living_runs
from exit_shim.journal.default_path import JOURNAL_VARIABLE
from exit_shim.shim import ExitShim


def describe_start(
    executor: ExitExecutor,
    shim: ExitShim,
    client: Any,
    plans: PlanFile | None,
    *,
    only_looks: bool,
) -> Iterator[str]:
    """Yield the lines that are said before the first pass."""
    yield f"account   {executor.account or 'without a label'}, at {clone_client(client).host}"
    if plans is None:
        yield "plans     none: nothing is placed; give --plans FILE to protect"
    else:
        rules = pluralize(len(plans.rules), "rule")
        yield f"plans     {plans.path}, {rules}" + "; a dry run, nothing is placed" * only_looks
    yield f"journal   {describe_journal(shim)}"
    if not only_looks:
        yield f"lease     {describe_lease(executor, shim)}"
        yield f"streams   {describe_streams(executor)}"
        yield f"policy    {describe_policy(shim)}"
        yield from describe_guard(executor, shim)
        for problem in executor.check():
            yield f"PROBLEM   {problem}"


def describe_journal(shim: ExitShim) -> str:
    """Say where steps are recorded, and which processes write there as well."""
    if is_disabled() or shim.journal is None:
        return "none, since EXIT_SHIM_DISABLED is set: no step is recorded, and nothing survives a restart"
    path = shim.journal.path
    health = shim.journal.health()
    if health.last_error is not None:
        return f"{path} CANNOT BE WRITTEN ({health.last_error}): nothing survives a restart"
    others = find_other_runs(path, shim.journal.run_id)
    if not others:
        return f"{path}, which no other process writes to now"
    return f"{path}, to which other processes write too: {', '.join(others)}"


def describe_policy(shim: ExitShim) -> str:
    """Say what the policy makes of the executor, in this process's mode."""
    policy, mode = shim.guard.compiled_policy, shim.mode()
    grant = policy.grant_for(MODULE, None, mode, None, "sl")
    where = f"{policy.source}, mode {mode}"
    if grant.reason is not None:
        return (
            f"{where}: PROBLEM: {MODULE} is {grant.role} there, and its orders may be denied; add it to the "
            "owners of that mode"
        )
    if grant.role == "owner":
        return f"{where}: {MODULE} is an owner, whose stops are cover"
    return f"{where}: {MODULE} is no owner there, so nothing is denied under its stops"


def describe_guard(executor: ExitExecutor, shim: ExitShim) -> Iterator[str]:
    """Yield what a bot's guard can know of these orders."""
    yield (
        "guard     a bot's guard knows these orders as the owner's through this journal only; a bot with "
        f"another {JOURNAL_VARIABLE} knows nothing of them and denies nothing"
    )
    if shim.journal is None or executor.account is None:
        return
    try:
        accounts = JournalReader(shim.journal.path).read_values("account")
    except JournalError:
        return
    if accounts and executor.account not in accounts:
        yield (
            f"          the journal has orders of {', '.join(accounts)} and none of {executor.account}; if "
            "one is the same account, name it in both processes: --account NAME and ExitShim(account=NAME)"
        )


def describe_lease(executor: ExitExecutor, shim: ExitShim) -> str:
    """Say whether this executor may act on the account."""
    if shim.journal is None:
        return "none without a journal: a second executor of the account would not be noticed"
    holder = executor.take_lease()
    if holder is None:
        return "held: no other executor that uses this journal acts on the account"
    return f"{holder}; this one keeps its hands off until that ends"


def describe_streams(executor: ExitExecutor) -> str:
    """Say how the executor hears of changes."""
    look = f"a look at the account every {executor.every_s:g} s"
    if executor.why_no_stream is not None:
        return f"none ({executor.why_no_stream}); {look}"
    return f"the user data stream and mark prices; while they are silent, {look}"


def find_other_runs(path: Path, own: str = "") -> list[str]:
    """Return the running processes that write to a journal, each by its number."""
    try:
        runs = {run.run_id: run.header.pid for run in JournalReader(path).read_runs()}
    except JournalError:
        runs = {}
    living = sorted(living_runs(Path(path)) - {own})
    return [f"pid {runs[run] or '?'}" if run in runs else run for run in living]
