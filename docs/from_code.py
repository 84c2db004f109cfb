"""Generate tables of the reference from the code: the directive `from-code` for Sphinx."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from exit_shim import settings


def table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [columns, tuple("---" for _ in columns), *rows]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines]


def environment(_: str) -> list[str]:
    """Return the table of environment variables, with the other ways to give each setting."""
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


def code_only(_: str) -> list[str]:
    """Return the table of settings that only code can give."""
    rows = ((f"`{setting.code}=`", setting.default, setting.meaning) for setting in settings.CODE_ONLY)
    return table(("`ExitShim`", "default", "meaning"), rows)


def file_keys(prefix: str) -> list[str]:
    """Return the keys of the policy file below a prefix, such as `modes.MODE`; "" is the top level."""
    rows = (
        (f"`{key}`", setting.default, setting.meaning)
        for setting in settings.SETTINGS
        if setting.file is not None
        for table_name, _, key in [setting.file.rpartition(".")]
        if table_name == prefix
    )
    return table(("key", "default", "meaning"), rows)


TABLES: Mapping[str, Callable[[str], list[str]]] = {
    "environment": environment,
    "code-only": code_only,
    "file-keys": file_keys,
}
"""What a page can ask for: `{from-code} NAME ARGUMENT`."""


def setup(app: Any) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    # The tests read the tables without Sphinx, so it is imported here.
    from docutils.statemachine import StringList  # noqa: PLC0415
    from sphinx.util.docutils import SphinxDirective  # noqa: PLC0415

    class FromCode(SphinxDirective):
        """Insert the table of the given name."""

        required_arguments = 1
        optional_arguments = 1
        final_argument_whitespace = True

        def run(self) -> list[Any]:
            lines = TABLES[self.arguments[0]]("".join(self.arguments[1:]))
            return self.parse_text_to_nodes(StringList(lines, source="from-code"))

    app.add_directive("from-code", FromCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
