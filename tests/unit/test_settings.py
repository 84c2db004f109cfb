"""The table of settings has what the code reads, and nothing else."""

import ast
import inspect
from pathlib import Path

import msgspec
import pytest

import exit_shim
from exit_shim import settings
from exit_shim.domain.modes import MODES
from exit_shim.guard.policy.model import Delegation, Mode, Policy, Rule, Scope

PACKAGE = Path(exit_shim.__file__).parent
TABLES = {
    "": Policy,
    "modes.MODE": Mode,
    "modes.MODE.scopes": Scope,
    "rules.CODE": Rule,
    "delegate": Delegation,
}


def words(path):
    """All string constants of a module."""
    return {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def file_keys(prefix):
    """The settings of one table of the policy file, by key."""
    named = [(setting.file.rpartition("."), setting) for setting in settings.SETTINGS if setting.file]
    return {key: setting for (table, _, key), setting in named if table == prefix}


def test_every_variable_that_the_code_reads_is_a_setting():
    """Each EXIT_ variable named in the code is in the table, and each in the table is named in the code."""
    files = [path for path in PACKAGE.rglob("*.py") if path != Path(settings.__file__)]
    named = {
        word
        for path in files
        for word in words(path)
        if word.startswith("EXIT_") and word.isidentifier() and word not in MODES
    }
    assert named == {setting.environment for setting in settings.SETTINGS if setting.environment}


@pytest.mark.parametrize(("prefix", "struct"), TABLES.items())
def test_every_key_of_the_policy_file_is_a_setting(prefix, struct):
    """Each table of the policy file has exactly the keys that the code reads."""
    assert sorted(file_keys(prefix)) == sorted(struct.__struct_fields__)


@pytest.mark.parametrize(("prefix", "struct"), TABLES.items())
def test_defaults_are_the_codes(prefix, struct):
    """A default that the table shows as a value is the one in force."""
    shown = {key: setting.default for key, setting in file_keys(prefix).items()}
    for field in msgspec.structs.fields(struct):
        if isinstance(field.default, (str, float)):
            written = f'"{field.default}"' if isinstance(field.default, str) else str(field.default)
            assert shown[field.encode_name] == f"`{written}`"
        assert (shown[field.encode_name] == "required") is field.required


def test_every_argument_of_a_shim_is_a_setting():
    """`ExitShim` takes exactly the arguments in the table."""
    arguments = {setting.code for setting in settings.SETTINGS if setting.code}
    assert arguments == set(inspect.signature(exit_shim.ExitShim).parameters)
