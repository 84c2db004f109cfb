"""The page "Who cancelled my stop?": the screen on it is the one that its story ends with."""

import re

from night_bot import live_through
from repository import ROOT
from virtual_time import jumping
from watched_bot import WatchedBot

PAGE = (ROOT / "docs/how-to/who-cancelled-my-stop.md").read_text()


def masked(screen):
    """Return a screen without what differs from night to night: times, lengths of time and the run's id."""
    screen = re.sub(r"\d{8}T\d{6}-[0-9a-f]{8}", "RUN", screen)
    # A time of another day has its date before it.
    date, time = r"\d{4}-\d\d-\d\d", r"[0-9:-]*\d\d:\d\d:\d\d\.\d{3}"
    screen = re.sub(rf"({date} )?{time}|{date}", "TIME", screen)
    screen = re.sub(r"\d+ (h|min|ms|s)\b", "TIME", screen)
    # Python 3.10 knows functions without their class: lines break elsewhere, and paths fit whole.
    screen = screen.replace("/srv/bot/", "")
    return re.sub(r"\b[A-Z]\w+\.(?=\w+,)", "", " ".join(screen.split()))


def test_the_screen_on_the_page_is_what_the_command_prints(tmp_path, monkeypatch):
    """Word by word, at 80 columns."""
    monkeypatch.chdir(tmp_path)
    with jumping():
        bot = WatchedBot(tmp_path, account="main")
        live_through(bot)
        done = bot.run("why", "BTCUSDT")
        bot.close()
    shown = PAGE.split("$ exit-shim why BTCUSDT\n")[1].split("```")[0]
    assert masked(done.output) == masked(shown)
    assert done.exit_code == 1
