"""Source trees as they are: broken, binary, huge and linked files; what cannot be read is named."""

import json
import os
import sys

import pytest

from exit_shim.scan.scan import scan
from exit_shim.scan.source_files import MOST_BYTES

CALL = "client.futures_create_order(symbol='BTCUSDT', side='SELL', type='STOP_MARKET', closePosition=True)\n"


def reasons(found):
    return {row.name: row.reason for row in found.left_out}


def lines(found):
    return [(site.file, site.line, site.how) for site in found.sites]


def test_a_file_that_does_not_parse_is_searched_as_text(tmp_path):
    """Its calls and raw orders are found by their lines, comments are not, and the problem is named."""
    (tmp_path / "bot.py").write_text(
        f"def go(:\n    {CALL}    # client.futures_create_order()\n"
        "    requests.post('https://fapi.binance.com/fapi/v1/order?x=1')\n"
    )
    found = scan(tmp_path)
    assert lines(found) == [("bot.py", 2, "text"), ("bot.py", 4, "text")]
    assert found.unparsed[0].name == "bot.py"
    assert "cannot parse it" in found.unparsed[0].reason
    assert f"Python {sys.version_info[0]}.{sys.version_info[1]}" in found.unparsed[0].reason


def test_what_cannot_be_read_is_left_out_by_name(tmp_path):
    """Binary, huge, wrongly encoded and broken files are left out, each with its reason; the rest is read."""
    (tmp_path / "good.py").write_text(CALL)
    (tmp_path / "binary.py").write_bytes(b"x = 1\0\n")
    (tmp_path / "huge.py").write_bytes(b"#" * (MOST_BYTES + 1))
    (tmp_path / "coded.py").write_bytes(b"# -*- coding: uft-8 -*-\n")
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "odd.ipynb").write_text("[]")
    os.mkfifo(tmp_path / "pipe.py")
    found = scan(tmp_path)
    assert lines(found) == [("good.py", 1, "direct")]
    assert reasons(found).keys() == {
        "binary.py",
        "huge.py",
        "coded.py",
        "broken.ipynb",
        "odd.ipynb",
        "pipe.py",
    }
    assert "NUL" in reasons(found)["binary.py"]
    assert "4 MB" in reasons(found)["huge.py"]


def test_links_that_lead_in_circles_end(tmp_path):
    """A file is read once, however many links lead to it, and a link to a folder above is no endless way."""
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "main.py").write_text(CALL)
    (tmp_path / "bot" / "again.py").symlink_to(tmp_path / "bot" / "main.py")
    (tmp_path / "bot" / "up").symlink_to(tmp_path)
    (tmp_path / "bot" / "gone.py").symlink_to(tmp_path / "nowhere.py")
    found = scan(tmp_path)
    assert len(found.sites) == 1
    assert reasons(found).keys() == {"bot/gone.py"}


def test_folders_of_others_are_not_the_bots(tmp_path):
    """Environments, caches and hidden folders are skipped."""
    for name in (".git", "venv", "__pycache__", "node_modules", "my_env"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text(CALL)
    (tmp_path / "my_env" / "pyvenv.cfg").touch()
    assert scan(tmp_path).sites == ()


def test_notebooks_are_read_cell_by_cell(tmp_path):
    """The code of a notebook is searched, and its magic commands do not break it."""
    cells = [
        {"cell_type": "markdown", "source": [CALL]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install x\n", CALL]},
        {"cell_type": "code", "source": CALL},
    ]
    (tmp_path / "bot.ipynb").write_text(json.dumps({"cells": cells}))
    assert [how for _, _, how in lines(scan(tmp_path))] == ["direct", "direct"]


@pytest.mark.parametrize("prefix", [b"\xef\xbb\xbf", b"# coding: latin-1\n# \xe4\n", b"\r\n"])
def test_encodings_and_line_ends(tmp_path, prefix):
    """Marks of UTF-8, declared encodings and Windows' line ends are read, and lines counted as editors do."""
    (tmp_path / "bot.py").write_bytes(prefix + CALL.replace("\n", "\r\n").encode())
    expected = 1 + (prefix == b"\r\n") + 2 * prefix.startswith(b"# coding")
    assert [line for _, line, _ in lines(scan(tmp_path))] == [expected]


def test_code_that_is_nested_too_deeply_is_named(tmp_path):
    """An expression that Python's own parser gives up on is named, and breaks nothing."""
    (tmp_path / "deep.py").write_text(f"{CALL}x = {'(' * 300}1{')' * 300}\n")
    found = scan(tmp_path)
    assert [row.name for row in found.unparsed] == ["deep.py"]
    assert lines(found) == [("deep.py", 1, "text")]


def test_one_file_alone(tmp_path):
    """A path may be a file; its name is the file's."""
    (tmp_path / "bot.py").write_text(CALL)
    assert lines(scan(tmp_path / "bot.py")) == [("bot.py", 1, "direct")]


def test_a_path_that_is_not_there(tmp_path):
    """A wrong path is named."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        scan(tmp_path / "nowhere")


CCXT_BOT = """
import ccxt, yaml
settings = yaml.safe_load(open("config.yaml"))
exchange = ccxt.binance(settings["exchange"])
exchange.create_order(settings["pair"], "stop_market", "sell", 1)
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "exchange:\n  options:\n    defaultType: future\n"),
        ("config.yml", "market_type: futures\n"),
        ("settings/live.json", '{"pair": "BTC/USDT:USDT"}'),
        ("config.toml", "[risk]\nleverage = 5\n"),
        ("broken.py", "def exchange(:\n    'fapi'\n"),
    ],
)
def test_settings_say_that_a_client_of_ccxt_is_for_futures(tmp_path, name, text):
    """A client of ccxt whose code speaks of no market is for futures where its settings do."""
    (tmp_path / "bot.py").write_text(CCXT_BOT)
    assert scan(tmp_path).sites == ()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert [site.line for site in scan(tmp_path).sites] == [5]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "exchange:\n  options:\n    defaultType: spot\n"),
        ("config.json", '{"pair": "BTC/USDT"}'),
        (".env", "MARKET_TYPE=future"),
        ("node_modules/config.json", '{"leverage": 5}'),
        ("prices.json", '"leverage": ' + "1" * 300_000),
        ("config.bin", "leverage: 5"),
    ],
)
def test_other_files_say_nothing_of_futures(tmp_path, name, text):
    """Settings of spot, what may hold keys, other people's folders and data do not count."""
    (tmp_path / "bot.py").write_text(CCXT_BOT)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert scan(tmp_path).sites == ()


def test_settings_that_cannot_be_read_are_passed_over(tmp_path):
    """Broken links, folders and binary files under such names do no harm."""
    (tmp_path / "bot.py").write_text(CCXT_BOT)
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "noise.json").write_bytes(bytes(range(256)))
    found = scan(tmp_path)
    assert (found.sites, found.files, found.left_out) == ((), 1, ())
