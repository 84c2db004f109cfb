"""Read a policy from TOML; an error names the key, the rule and the nearest right word."""

import os
import re
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

import msgspec

from exit_shim.domain.reason_codes import NEVER_DENY, REASONS
from exit_shim.guard.policy.compiled import ROLES
from exit_shim.guard.policy.model import Mode, Policy, Rule, Scope, modes_of
from exit_shim.runtime.nearest_name import did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME: Final = "exit_shim.toml"
POLICY_VARIABLE: Final = "EXIT_SHIM_POLICY"

CODE: Final = re.compile(r"[A-Z][A-Z0-9_]*")

MIN_TIMES: Final = 2
"""The least that `times` can be: what happens once does not happen again and again."""

MAX_SECONDS: Final = 366 * 24 * 3600

MAX_LOOK_S: Final = 10.0
"""The longest look: an order that may have to go out waits for it."""


class PolicyError(ValueError):
    """Raised for a policy with an error; the text names the file, the key and the way out."""


def find_policy(beside: str | os.PathLike[str] | None) -> Path | None:
    """Return the policy file of the environment, else `exit_shim.toml` in the bot's folder, else None."""
    if named := os.environ.get(POLICY_VARIABLE):
        return Path(named)
    if beside is None:
        return None
    path = Path(beside) / FILE_NAME
    return path if path.is_file() else None


def read_policy(path: str | os.PathLike[str], own_rules: Collection[str] = ()) -> Policy:
    """Return the policy in a file.

    Args:
        path: The file.
        own_rules: Codes of custom rules.

    Raises:
        PolicyError: The file cannot be read, is not valid TOML, or has an error.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(
            f"the policy {path} cannot be read ({error}); set {POLICY_VARIABLE} to the path of a TOML file"
        ) from error
    return parse_policy(text, str(path), own_rules)


def parse_policy(text: str, name: str = "the policy", own_rules: Collection[str] = ()) -> Policy:
    """Return the policy in a text, which errors call `name`."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{name} is no TOML: {error}") from error
    for problem in problems_in(value, Policy):
        raise PolicyError(f"{name}: {problem}")
    try:
        policy = msgspec.convert(value, Policy)
    except msgspec.ValidationError as error:
        raise PolicyError(f"{name}: {error}") from error
    check(policy, name, own_rules)
    return policy


def problems_in(value: object, kind: Any, at: str = "") -> Iterator[str]:
    """Yield the unknown keys and words in a value, each with the nearest that there is."""
    for option in alternatives(kind):
        if get_origin(option) is Literal:
            yield from wrong_word(value, get_args(option), at)
        elif isinstance(option, type) and issubclass(option, msgspec.Struct):
            yield from problems_in_table(value, option, at)
        elif get_origin(option) is tuple and isinstance(value, list):
            for number, item in enumerate(value):
                yield from problems_in(item, get_args(option)[0], f"{at}[{number}]")
        elif isinstance(option, type | types.GenericAlias) and isinstance(value, dict):
            for key, item in value.items():
                yield from problems_in(item, (get_args(option) or (str, str))[1], f"{at}.{key}".strip("."))


def problems_in_table(value: object, kind: type[msgspec.Struct], at: str) -> Iterator[str]:
    """Yield the unknown keys and words in a table."""
    if not isinstance(value, dict):
        yield f"{at or 'it'} must be a table, not {value!r}"
        return
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, item in value.items():
        where = f"{at}.{key}".strip(".")
        if key in fields:
            yield from problems_in(item, fields[key], where)
        else:
            hint = did_you_mean(key, fields)
            yield f"{where} is no key{hint}; {at or 'a policy'} has {', '.join(sorted(fields))}"


def wrong_word(value: object, words: tuple[Any, ...], at: str) -> Iterator[str]:
    """Yield the problem with a value that is none of some words."""
    if value not in words:
        yield f"{at} = {value!r} must be one of {', '.join(words)}{did_you_mean(value, words)}"


def alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union without None; of another type itself."""
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(option for option in get_args(kind) if option is not type(None))
    return (kind,)


def check(policy: Policy, name: str = "policy", own_rules: Collection[str] = ()) -> None:
    """Refuse a policy with an error, also one that was made in code.

    Raises:
        PolicyError: A word, a share, a rule, a mode or a module in it is wrong.
    """
    check_types(policy, name)
    known = [*REASONS, *own_rules]
    for at, rules in [
        ("rules", policy.rules),
        *((f"modes.{m}.rules", o.rules) for m, o in policy.modes.items()),
    ]:
        for code, rule in rules.items():
            check_rule(code, rule.level if isinstance(rule, Rule) else rule, known, f"{name}: {at}.{code}")
    for code, settings in policy.rules.items():
        check_settings(settings, f"{name}: rules.{code}")
    check_looks(policy, name)
    check_delegations(policy, name)
    check_names(
        {"passthrough": policy.passthrough, "aliases": (*policy.aliases, *policy.aliases.values())}, name
    )
    for at, share in [
        ("rollout", policy.rollout),
        *((f"modes.{m}.rollout", o.rollout) for m, o in policy.modes.items()),
    ]:
        if share is not None and not 0 <= share <= 1:
            raise PolicyError(f"{name}: {at} = {share} must be a share of the symbols, from 0 to 1")
    if not 0 < policy.cover_within <= 1:
        raise PolicyError(
            f"{name}: cover_within = {policy.cover_within} must be a share of the price, above 0 and up to 1"
        )
    modes = modes_of(policy)
    if policy.mode is not None and policy.mode not in modes:
        hint = did_you_mean(policy.mode, modes)
        raise PolicyError(f"{name}: mode = {policy.mode!r} must be one of {', '.join(modes)}{hint}")
    for mode, table in modes.items():
        if not CODE.fullmatch(mode):
            raise PolicyError(f"{name}: the mode {mode!r} must be named in capitals, digits and _")
        check_mode(mode, table, name)


def check_rule(code: str, level: str | None, known: Collection[str], at: str) -> None:
    """Refuse a rule that does not exist, and a level that it cannot have."""
    if code not in known:
        raise PolicyError(f"{at} is no rule{did_you_mean(code, known)}; there are {', '.join(sorted(known))}")
    if level == "enforce" and code in NEVER_DENY:
        raise PolicyError(f"{at} cannot be enforced: what it finds no denial mends; use warn or observe")


def check_types(policy: Policy, name: str) -> None:
    """Refuse a policy made in code that no file could have."""
    # A struct takes any value.
    try:
        value = msgspec.to_builtins(policy)
        for problem in problems_in(without_none(value), Policy):
            raise PolicyError(f"{name}: {problem}")
        msgspec.convert(value, Policy)
    except (msgspec.ValidationError, TypeError) as error:
        raise PolicyError(f"{name}: {error}") from error


def without_none(value: Any) -> Any:
    """Return a policy as a file would have it: without the keys that are not set."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list | tuple) else value


def check_settings(rule: Rule, at: str) -> None:
    """Refuse settings that no rule can work with."""
    if rule.times is not None and rule.times < MIN_TIMES:
        raise PolicyError(f"{at}.times = {rule.times} must be at least {MIN_TIMES}")
    if rule.within_s is not None:
        check_seconds(rule.within_s, f"{at}.within_s")


def check_seconds(seconds: float, at: str) -> None:
    """Refuse a time that is not positive, or longer than a year."""
    if not 0 < seconds <= MAX_SECONDS:
        raise PolicyError(f"{at} = {seconds} must be seconds above zero, {MAX_SECONDS} at most")


def check_looks(policy: Policy, name: str) -> None:
    """Refuse a look without time, and one that may use more request weight than there is."""
    if not 0 < policy.look_within_s <= MAX_LOOK_S:
        raise PolicyError(
            f"{name}: look_within_s = {policy.look_within_s} must be seconds above zero, "
            f"{MAX_LOOK_S:g} at most"
        )
    if not 0 < policy.look_share <= 1:
        raise PolicyError(
            f"{name}: look_share = {policy.look_share} must be a part of the request weight, "
            "above 0 and 1 at most"
        )


def check_delegations(policy: Policy, name: str) -> None:
    """Refuse a delegation without a name or a time."""
    for place, delegation in enumerate(policy.delegate):
        check_names({f"delegate[{place}]": (delegation.symbol, delegation.to)}, name)
        check_seconds(delegation.within_s, f"{name}: delegate[{place}].within_s")


def check_names(lists: Mapping[str, tuple[str, ...]], name: str) -> None:
    """Refuse empty names."""
    for where, names in lists.items():
        if not all(map(str.strip, names)):
            raise PolicyError(f"{name}: {where} has an empty name")


def check_mode(mode: str, table: Mode, name: str) -> None:
    """Refuse a module with two roles in one mode or scope, and empty names."""
    check_lists(table, f"modes.{mode}", name)
    for place, scope in enumerate(table.scopes):
        check_lists(scope, f"modes.{mode}.scopes[{place}]", name)


def check_lists(table: Mode | Scope, at: str, name: str) -> None:
    """Refuse a module that is on two lists of one table."""
    lists = {role: getattr(table, role, None) or () for _, role in ROLES}
    check_names({f"{at}.{role}": names for role, names in lists.items()}, name)
    roles: dict[str, str] = {}
    for role, modules in lists.items():
        for module in modules:
            if module in roles:
                raise PolicyError(
                    f"{name}: {module!r} is in {at}.{roles[module]} and in {role}; it can be in one"
                )
            roles[module] = role
