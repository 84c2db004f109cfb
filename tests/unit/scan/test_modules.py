"""Which modules of a bot place exits, and which only send what others decided."""

import pytest

from exit_shim.scan.modules import find_modules, module_name
from exit_shim.scan.scan import scan

STOP = 'symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition=True'

HELPERS = {
    "gets parameters": "def send(client, **params):\n    client.futures_create_order(**params)\n",
    "gets the method": "def send(method, **params):\n    return method(**params)\n",
}
CALLS = {
    "gets parameters": f"send(client, {STOP})",
    "gets the method": f"send(client.futures_create_order, {STOP})",
}


def modules(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return [(each.name, each.places, set(each.kinds), each.callers) for each in find_modules(scan(folder))]


@pytest.mark.parametrize("style", HELPERS)
def test_a_helper_that_others_call(tmp_path, style):
    """Who sends what its callers pass is a helper, and the call counts for the caller."""
    bot = f"from helper import send\n\ndef stop(client):\n    {CALLS[style]}\n"
    found = modules(tmp_path, helper=HELPERS[style], bot=bot)
    assert [(name, places, callers) for name, places, _, callers in found] == [
        ("bot", 1, ()),
        ("helper", 1, ("bot",)),
    ]


@pytest.mark.parametrize(
    "helper",
    [
        HELPERS["gets parameters"] + f"\ndef stop(client):\n    send(client, {STOP})\n",
        f"def send(client, params):\n    client.futures_create_order({STOP})\n",
        HELPERS["gets parameters"]
        + "\ndef other(client, **params):\n    client.futures_create_order(**params)\n",
    ],
)
def test_who_decides_too_is_no_helper(tmp_path, helper):
    """A module that calls its own sender, names a kind, or sends where nobody calls it decides itself."""
    found = modules(tmp_path, helper=helper, bot=f"import helper\nhelper.send(None, {STOP})\n")
    assert all(callers == () for _, _, _, callers in found)


def test_names_are_those_of_records():
    """A package is named by its folder, as attribution names it."""
    assert [module_name(file) for file in ("a/exits.py", "exits/__init__.py", "exits/__main__.py")] == [
        "exits"
    ] * 3
