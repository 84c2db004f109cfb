"""The policy file: strict, typed, documented key by key; and what it says of whom."""

import os
import re
import subprocess
import sys

import msgspec
import pytest
from repository import ROOT

import exit_shim
from exit_shim.guard.policy import CompiledPolicy, PolicyError, parse_policy, read_policy
from exit_shim.guard.policy.model import Delegation, Mode, Policy, Rule, Scope
from exit_shim.guard.policy.rollout import is_in_rollout
from exit_shim.journal import read_records

DOCS = ROOT / "docs/reference/policy.md"


def grant(text, module, mode="EXIT_BRAIN_V3", symbol="BTCUSDT", kind="sl", dotted=None):
    return CompiledPolicy(parse_policy(text)).grant_for(module, dotted, mode, symbol, kind)


@pytest.mark.parametrize(
    ("heading", "struct"),
    [
        ("Keys of the file", Policy),
        ("Keys of a mode", Mode),
        ("Keys of a scope", Scope),
        ("Keys of a rule", Rule),
        ("Keys of a delegation", Delegation),
    ],
)
def test_every_key_is_documented(heading, struct):
    """The page lists exactly the keys of each table."""
    section = DOCS.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(named) == sorted(struct.__struct_fields__)


def test_the_pages_examples_are_policies():
    """Each TOML example of the page can be read."""
    examples = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert [bool(parse_policy(example).modes) for example in examples] == [True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('lvel = "warn"', "lvel is no key (did you mean level?)"),
        (
            'level = "enforc"',
            "level = 'enforc' must be one of observe, warn, enforce (did you mean enforce?)",
        ),
        ("[modes.EXIT_BRAIN_V3]\nowner = []", "modes.EXIT_BRAIN_V3.owner is no key (did you mean owners?)"),
        ("[rules.CHRUN]\ntimes = 2", "rules.CHRUN is no rule (did you mean CHURN?)"),
        ('[modes.LEGACY.rules]\nCHURN = "warm"', "modes.LEGACY.rules.CHURN = 'warm' must be one of"),
        (
            '[[modes.LEGACY.scopes]]\nkinds = ["slt"]',
            "modes.LEGACY.scopes[0].kinds[0] = 'slt' must be one of",
        ),
        ('[[delegate]]\nsymbl = "BTCUSDT"\nto = "x"', "delegate[0].symbl is no key (did you mean symbol?)"),
        (
            'takeover = ["legacys"]',
            "takeover[0] = 'legacys' must be one of legacy, monitors, unknown (did you mean legacy?)",
        ),
        ("takeover = true", "takeover"),
        ("strict = true", "strict is no key"),
        ("rollout = 2", "rollout = 2.0 must be a share of the symbols, from 0 to 1"),
        ('mode = "BRAIN_V3"', "mode = 'BRAIN_V3' must be one of LEGACY, EXIT_BRAIN_V3"),
        ("[modes.brain]\n", "the mode 'brain' must be named in capitals, digits and _"),
        ('[rules.ORPHAN]\nlevel = "enforce"', "rules.ORPHAN cannot be enforced"),
        ('[modes.LEGACY]\nowners = ["a"]\nlegacy = ["a"]', "'a' is in modes.LEGACY.owners and in legacy"),
        ('[modes.LEGACY]\nowners = [" "]', "modes.LEGACY.owners has an empty name"),
        ("modes = 1", "modes"),
        ("level = ", "is no TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, said):
    """An unknown key, word or rule is an error with the nearest right one; so is what contradicts itself."""
    with pytest.raises(PolicyError) as refused:
        parse_policy(text, "exit_shim.toml")
    assert said in str(refused.value)
    assert str(refused.value).startswith("exit_shim.toml")


def test_a_policy_comes_from_the_environment(tmp_path, monkeypatch, caplog):
    """EXIT_SHIM_POLICY names the file; one that is not there is logged, and one in code is an error."""
    path = tmp_path / "mine.toml"
    monkeypatch.setenv("EXIT_SHIM_POLICY", str(path))
    with pytest.raises(PolicyError, match=r"cannot be read.*set EXIT_SHIM_POLICY"):
        exit_shim.ExitShim(journal=False, policy=path)
    shim = exit_shim.ExitShim(journal=False, mode="NIGHT")
    assert (shim.mode(), shim.guard.enforces) == ("LEGACY", False)
    assert re.search(r"NOT IN FORCE: .*cannot be read.*set EXIT_SHIM_POLICY", caplog.text)
    path.write_text('[modes.NIGHT]\nowners = ["night_owl"]\n')
    shim = exit_shim.ExitShim(journal=False, mode="NIGHT")
    assert shim.mode() == "NIGHT"
    assert shim.policy == read_policy(path)


def test_a_policy_lies_beside_the_bot(tmp_path):
    """exit_shim.toml in the folder of the main script is the policy."""
    (tmp_path / "exit_shim.toml").write_text('mode = "EXIT_BRAIN_V3"\n')
    (tmp_path / "bot.py").write_text("import exit_shim; print(exit_shim.ExitShim(journal=False).mode())")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "bot.py")], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "EXIT_BRAIN_V3"


def test_a_policy_in_code(tmp_path):
    """A Policy or a path may be given; what cannot be meant is refused here too."""
    policy = Policy(modes={"EXIT_BRAIN_V3": Mode(owners=("me",))})
    assert exit_shim.ExitShim(journal=False, policy=policy).policy is policy
    with pytest.raises(PolicyError, match="rollout"):
        exit_shim.ExitShim(journal=False, policy=Policy(rollout=-1))


WRONG_POLICY_BOT = """
import asyncio, sys
START

class Fake(binance.Client):
    def __init__(self):
        pass

    def futures_create_order(self, **params):
        return {"orderId": 1}

client, order = Fake(), {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "reduceOnly": True}
SEND
import exit_shim.shim
exit_shim.shim.default_shim().close()
"""
STARTS = {
    "auto": ("import exit_shim.auto, binance", "binance.Client.futures_cancel_order(client, symbol='X')"),
    "install": (
        "import exit_shim, binance; exit_shim.install(doors={binance.Client: []})",
        "binance.Client.futures_cancel_order(client, symbol='X')",
    ),
    "wrap": ("import exit_shim, binance", "exit_shim.wrap(client).futures_create_order(**order)"),
    "submit": (
        "import exit_shim, binance",
        "asyncio.run(exit_shim.submit_exit_order('m', 'BTCUSDT', order, 'sl', client))",
    ),
}


@pytest.mark.parametrize("start", STARTS)
def test_an_error_in_the_policy_beside_the_bot_costs_no_record(tmp_path, start):
    """However the shim came in, the order is recorded, and the log says which key is wrong."""
    (tmp_path / "exit_shim.toml").write_text('levle = "enforce"\n')
    began, send = STARTS[start]
    send = f"try:\n    {send}\nexcept AttributeError: pass"
    (tmp_path / "bot.py").write_text(WRONG_POLICY_BOT.replace("START", began).replace("SEND", send))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "bot.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "NOT IN FORCE" in done.stderr
    assert "levle" in done.stderr
    (record,) = read_records(os.environ["EXIT_SHIM_JOURNAL"])
    assert record.action != "deny"


def test_names_are_short_dotted_or_patterns():
    """A module is found by its short name, its dotted one, or a pattern."""
    text = '[modes.EXIT_BRAIN_V3]\nlegacy = ["a", "x.b", "c_*", "*.d"]\nowners = []\n'
    for module, dotted in [("a", None), ("b", "x.b"), ("c_1", None), ("e", "y.d")]:
        assert grant(text, module, dotted=dotted).role == "legacy", module
    assert grant(text, "b", dotted="y.b").role == "unknown"


def test_scopes_differ_by_symbol_and_kind():
    """The first scope that fits counts; what it does not say is the mode's."""
    text = """
    [modes.EXIT_BRAIN_V3]
    owners = ["brain"]
    legacy = ["old"]
    level = "enforce"
    [[modes.EXIT_BRAIN_V3.scopes]]
    symbols = ["ETH*"]
    kinds = ["tp"]
    owners = ["taker"]
    level = "observe"
    """
    assert grant(text, "taker", symbol="ETHUSDT", kind="tp").role == "owner"
    assert grant(text, "taker", symbol="ETHUSDT", kind="sl").role == "unknown"
    assert grant(text, "taker", symbol="BTCUSDT", kind="tp").role == "unknown"
    there, here = (grant(text, "old", symbol=symbol, kind="tp") for symbol in ("ETHUSDT", "BTCUSDT"))
    assert (there.level, here.level) == ("observe", "enforce")
    assert there.warned.action == "allow"
    assert str(there.warned.reasons[0]).endswith("level=observe")


@pytest.mark.parametrize(
    ("unknown", "code"), [("allow", None), ("warn", "UNKNOWN_MODULE"), ("deny", "UNKNOWN_MODULE")]
)
def test_what_the_unknown_get(unknown, code):
    """A module on no list is what the mode says; "warn" does not deny where the mode enforces."""
    text = f'[modes.EXIT_BRAIN_V3]\nlevel = "enforce"\nunknown = "{unknown}"\n'
    found = grant(text, "stranger")
    assert (found.reason and found.reason.code) == code
    assert found.level == ("warn" if unknown == "warn" else "enforce")


def test_what_is_taken_over():
    """By default what legacy modules have resting, where they are denied; a mode and a scope may differ."""
    text = """
    level = "enforce"
    [modes.EXIT_BRAIN_V3]
    owners = ["brain"]
    legacy = ["old"]
    monitors = ["watcher"]
    unknown = "deny"
    TAKEOVER
    [[modes.EXIT_BRAIN_V3.scopes]]
    symbols = ["ETH*"]
    takeover = []
    """

    def taken_over(symbol, takeover="", text=text):
        policy = text.replace("TAKEOVER", takeover)
        modules = ("brain", "old", "watcher", "stranger")
        return [module for module in modules if grant(policy, module, symbol=symbol).is_taken_over]

    assert taken_over("BTCUSDT") == ["old"]
    assert taken_over("BTCUSDT", 'takeover = ["monitors", "unknown"]') == ["watcher", "stranger"]
    assert taken_over("BTCUSDT", "takeover = []") == []
    assert taken_over("ETHUSDT", 'takeover = ["legacy"]') == []
    for allowed in ('level = "warn"', "rollout = 0.0"):
        assert taken_over("BTCUSDT", allowed) == []


def test_what_may_be_placed_is_not_taken_over():
    """A module on no list is taken over only where it is denied, too."""
    text = 'level = "enforce"\ntakeover = ["unknown"]\n'
    assert not grant(text, "stranger").is_taken_over
    assert not grant(text + '[modes.EXIT_BRAIN_V3]\nunknown = "warn"\n', "stranger").is_taken_over
    assert not grant(text, "stranger", mode="LEGACY").is_taken_over


def test_levels_of_rules():
    """A mode's word on a rule goes before the rule's own; others than ownership warn until they have one."""
    text = """
    level = "enforce"
    [rules.CHURN]
    level = "observe"
    [rules.OVERSIZED]
    level = "enforce"
    [modes.LEGACY.rules]
    CHURN = "warn"
    """
    compiled_policy = CompiledPolicy(parse_policy(text))
    levels = {
        (code, mode): compiled_policy.level(code, mode, "BTCUSDT")
        for code in ("CHURN", "OVERSIZED", "DUPLICATE_EXIT", "FOREIGN_CANCEL")
        for mode in ("LEGACY", "EXIT_BRAIN_V3")
    }
    assert levels["CHURN", "LEGACY"] == "warn"
    assert levels["CHURN", "EXIT_BRAIN_V3"] == "observe"
    assert levels["OVERSIZED", "LEGACY"] == "enforce"
    assert levels["DUPLICATE_EXIT", "LEGACY"] == "warn"
    assert levels["FOREIGN_CANCEL", "LEGACY"] == "enforce"


def test_a_rollout_is_the_same_everywhere():
    """The share is drawn by a hash that no process, restart or release changes, and grows without swaps."""
    symbols = [f"S{number}USDT" for number in range(2000)]
    shares = {share: {s for s in symbols if is_in_rollout(s, share)} for share in (0.0, 0.1, 0.5, 1.0)}
    assert shares[0.0] == set()
    assert shares[0.0] < shares[0.1] < shares[0.5] < shares[1.0]
    assert 0.08 < len(shares[0.1]) / 2000 < 0.12
    assert [s for s in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT") if is_in_rollout(s, 0.5)] == KNOWN_HALF


KNOWN_HALF = ["BTCUSDT", "XRPUSDT"]


def test_a_rollout_enforces_on_its_symbols_only():
    """Outside of the share the level is warn."""
    text = 'level = "enforce"\nrollout = 0.5\n'
    levels = {
        symbol: grant(text, "position_monitor", symbol=symbol).level for symbol in ("BTCUSDT", "ETHUSDT")
    }
    assert set(levels.values()) == {"enforce", "warn"}
    assert levels["BTCUSDT"] == ("enforce" if "BTCUSDT" in KNOWN_HALF else "warn")


def test_the_default_is_that_of_roles():
    """Without a policy the defaults of Roles hold, and nothing is enforced."""
    compiled_policy = exit_shim.ExitShim(journal=False).guard.compiled_policy
    assert not compiled_policy.enforces()
    assert (
        compiled_policy.grant_for("position_monitor", None, "EXIT_BRAIN_V3", "BTCUSDT", "sl").warned.action
        == "warn"
    )
    assert msgspec.structs.asdict(exit_shim.Policy())["level"] == "warn"
