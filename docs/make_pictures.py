"""Make the pictures of the docs from the example bot: `python docs/make_pictures.py`.

The example bot runs on a local exchange, slower than usual and with its account watched; `exit-shim report`
draws what the journal has of it, and Chromium takes the pictures. It needs the extras `cli` and `report`,
playwright and a Chromium.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "_static"
BOT = ROOT / "examples" / "legacy_bot"

DRIVER = f"""
import runpy, sys, time
sys.path.insert(0, {str(BOT)!r})
from binance.client import Client
import exit_shim
from backend import config
config.PAUSE = 0.25
exit_shim.watch(Client(ping=False), every=1.0, stream=True)
time.sleep(1)
runpy.run_path({str(BOT / "main.py")!r}, run_name="__main__")
time.sleep(1.5)
"""
"""A bot that packs a day into ten seconds: prices move between two rounds, and a look each second sees it."""

MOST_BYTES = 250_000
MARGIN = 12

PARTS: tuple[tuple[str, int, Literal["light", "dark"], str, str], ...] = (
    ("report.png", 1100, "light", ".legend", "#symbol-0 .plot"),
    ("report-dark.png", 1100, "dark", ".legend", "#symbol-0 .plot"),
    ("report-fights.png", 1100, "light", "#fights h2", "#matrix"),
    ("report-phone.png", 390, "light", "h1", "#symbol-0 .plot"),
)
"""Each picture: its name, the width of the window, the colours, and its first and last element."""


def make_report(folder: Path) -> Path:
    """Run the example bot, and draw what it did."""
    driver, journal, page = folder / "bot.py", folder / "exits.db", folder / "exits.html"
    driver.write_text(DRIVER)
    environment = {**os.environ, "EXIT_SHIM_JOURNAL": str(journal)}
    command = [sys.executable, "-m", "exit_shim"]
    subprocess.run(
        [*command, "run", "--local", str(driver)], env=environment, check=True, capture_output=True, cwd=BOT
    )
    subprocess.run(
        [*command, "report", "--utc", "--journal", str(journal), "-o", str(page)], env=environment, check=True
    )
    return page


def take(page: Page, name: str, first: str, last: str) -> None:
    """Take a picture from the top of an element to the bottom of another one, and see that it is small."""
    top, bottom = (page.locator(each).first.bounding_box() for each in (first, last))
    if top is None or bottom is None:
        sys.exit(f"{name}: the report has no {first} or no {last}")
    width = page.evaluate("innerWidth")
    height = bottom["y"] + bottom["height"] - top["y"] + 2 * MARGIN
    path = PICTURES / name
    page.screenshot(
        path=path, full_page=True, clip={"x": 0, "y": top["y"] - MARGIN, "width": width, "height": height}
    )
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size / 1000:.0f} kB")
    if size > MOST_BYTES:
        sys.exit(f"{name} has {size} bytes; at most {MOST_BYTES} are wanted")


def take_all(report: Path) -> None:
    """Take the pictures of a report."""
    chromium = os.environ.get("EXIT_SHIM_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, width, scheme, first, last in PARTS:
            page = browser.new_page(
                viewport={"width": width, "height": 900}, color_scheme=scheme, device_scale_factor=1.5
            )
            page.goto(report.as_uri())
            page.wait_for_selector("html[data-drawn=all]")
            take(page, name, first, last)
            page.close()
        browser.close()


def main() -> None:
    """Make the pictures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--report", type=Path, help="draw this page instead of running the bot")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        take_all(chosen.report or make_report(Path(folder)))


if __name__ == "__main__":
    main()
