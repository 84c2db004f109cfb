"""Write the tables of the reference that the code has: `python docs/from_code.py`.

A page marks the place with `<!-- from code: NAME ARGUMENT -->` and `<!-- end -->`. The tables are committed,
so that the pages read in the repository too, and a test fails while they differ from the code.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Final

from exit_shim import settings
from exit_shim.bridge.differences import DIFFERENCES
from exit_shim.clients.registry import LIBRARIES
from exit_shim.domain.events import EVENT_NAMES
from exit_shim.domain.reason_codes import ADVICE, REASONS
from exit_shim.exchange.http.refused import BELOW, EXACT
from exit_shim.exchange.http.routes import ROUTES
from exit_shim.executor.failures import IN_DOUBT, LADDER, NOT_SENT, OTHER, Rung
from exit_shim.executor.plan_file_keys import PLAN_KEYS
from exit_shim.sinks.prometheus.declared import METRICS

MARKED: Final = re.compile(r"<!-- from code: ([\w-]+)((?: [\w./-]+)*) -->\n.*?<!-- end -->", re.DOTALL)


def table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def environment(_: str) -> str:
    """Return the environment variables, with the other ways to give each setting."""
    rows = (
        (
            f"`{setting.environment}`",
            f"`{setting.file}`" if setting.file else "",
            f"`{setting.code}=`" if setting.code else "",
            setting.default,
            setting.meaning,
        )
        for setting in settings.ENVIRONMENT
    )
    return table(("environment", "policy file", "`ExitShim`", "default", "meaning"), rows)


def code_only(_: str) -> str:
    """Return the settings that only code can give."""
    rows = ((f"`{setting.code}=`", setting.default, setting.meaning) for setting in settings.CODE_ONLY)
    return table(("`ExitShim`", "default", "meaning"), rows)


def file_keys(prefix: str) -> str:
    """Return the keys of the policy file below a prefix, such as `modes.MODE`; "" is the top level."""
    rows = (
        (f"`{key}`", setting.default, setting.meaning)
        for setting in settings.SETTINGS
        if setting.file is not None
        for above, _, key in [setting.file.rpartition(".")]
        if above == prefix
    )
    return table(("key", "default", "meaning"), rows)


def reasons(codes: str) -> str:
    """Return what the given reason codes mean and what to do."""
    rows = ((f"`{code}`", REASONS[code], ADVICE[code]) for code in codes.split())
    return table(("code", "meaning", "what to do"), rows)


def events(_: str) -> str:
    """Return the kinds of events, with what each says and its fields."""
    rows = (
        (
            f"`{name}`",
            cleandoc(event.__doc__ or "").partition("\n")[0].removeprefix("Say ").rstrip("."),
            ", ".join(f"`{field}`" for field in event.__struct_fields__),
        )
        for event, name in EVENT_NAMES.items()
    )
    return table(("event", "what it says", "fields"), rows)


def ladder(_: str) -> str:
    """Return what the executor does for each code with which the exchange refuses an order."""
    rungs: list[tuple[str, Rung]] = [(f"`{code}`", rung) for code, rung in LADDER.items()]
    rungs += [("no answer", IN_DOUBT), ("not sent", NOT_SENT), ("any other", OTHER)]
    rows = (
        (name, rung.meaning, rung.action, f"{rung.pause_ms / 1000:g} s" if rung.pause_ms else "")
        for name, rung in rungs
    )
    return table(("code", "meaning", "what the executor does", "first pause"), rows)


def bridge_differences(_: str) -> str:
    """Return what still differs from the old exchange through the bridge."""
    return "\n".join(f"- {text}" for text in DIFFERENCES.values())


def plan_keys(name: str) -> str:
    """Return the keys of a table in a file of exit plans: `plans`, or the key whose value it is."""
    keys = PLAN_KEYS if name == "plans" else PLAN_KEYS[name].keys or {}
    rows = ((f"`{key}`", described.default, described.meaning) for key, described in keys.items())
    return table(("key", "default", "meaning"), rows)


def metrics(_: str) -> str:
    """Return the Prometheus metrics, with what each says and its labels."""
    rows = (
        (f"`{metric.name}`", metric.type, metric.help, ", ".join(f"`{label}`" for label in metric.labels))
        for metric in METRICS.values()
    )
    return table(("metric", "type", "what it says", "labels"), rows)


def answered(prefix: str) -> str:
    """Return the names of the endpoints of the local exchange below a path, each with its methods."""
    methods: dict[str, list[str]] = {}
    for method, path in ROUTES:
        if path.startswith(prefix):
            methods.setdefault(path.removeprefix(prefix), []).append(method)
    named = (f"`{' '.join(asked)} {name}`".replace("`GET ", "`") for name, asked in methods.items())
    return ", ".join(named) + "."


def refused(_: str) -> str:
    """Return why the local exchange refuses endpoints that Binance has, and which they are."""
    reasons: dict[str, list[str]] = {}
    for endpoint, reason in {**EXACT, **BELOW}.items():
        reasons.setdefault(reason, []).append(f"`{endpoint}`".replace("`GET ", "`"))
    return table(("reason", "refused"), ((reason, ", ".join(names)) for reason, names in reasons.items()))


def libraries(_: str) -> str:
    """Return the client libraries, with the releases that were tested and how each is covered and asked."""
    rows = (
        (
            f"`{library.name}`",
            library.tested_with,
            "`install(raw=True)`" if library.is_opt_in else "`wrap`, `install`",
            "another client of the account"
            if library.is_opt_in
            else "the client, or a clone of it"
            if library.reads
            else "a python-binance client with the same key and address",
        )
        for library in LIBRARIES.values()
    )
    return table(("library", "tested with", "covered by", "guard and resolver ask through"), rows)


TABLES: Final[Mapping[str, Callable[[str], str]]] = {
    "environment": environment,
    "code-only": code_only,
    "file-keys": file_keys,
    "reasons": reasons,
    "events": events,
    "ladder": ladder,
    "plan-keys": plan_keys,
    "metrics": metrics,
    "bridge-differences": bridge_differences,
    "answered": answered,
    "libraries": libraries,
    "refused": refused,
}


def updated(text: str) -> str:
    """Return a page with its marked tables as the code has them."""

    def current(match: re.Match[str]) -> str:
        opening = match[0].partition("\n")[0]
        return f"{opening}\n\n{TABLES[match[1]](match[2].strip())}\n\n<!-- end -->"

    return MARKED.sub(current, text)


if __name__ == "__main__":
    for page in Path(__file__).parent.glob("*/*.md"):
        page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")
