"""A real Chromium, which tests drive by playwright."""

import contextlib
import importlib.util
import os
import shutil

import pytest

CHROMIUM = (
    os.environ.get("EXIT_SHIM_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)

WHAT_IS_MISSING = (
    "these tests need playwright: pip install playwright"
    if importlib.util.find_spec("playwright") is None
    else "these tests need Chromium: apt-get install chromium, or name one in EXIT_SHIM_CHROMIUM"
    if CHROMIUM is None
    else None
)

# A machine without a graphics card draws WebGL by software.
ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader"]


@contextlib.contextmanager
def started_chromium():
    """Start Chromium without a window; skip the test that has none."""
    if WHAT_IS_MISSING:
        pytest.skip(WHAT_IS_MISSING)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it may be missing

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Sheet:
    """A page in the browser, with all that it said and asked for.

    Attributes:
        page: The page of playwright.
        complaints: The errors of its console and its scripts.
        requests: The addresses that it asked for, but for its own.
        dialogs: The texts of the dialogs that it opened.
    """

    def __init__(self, page, address):
        self.page, self.complaints, self.requests, self.dialogs = page, [], [], []
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", self._dismiss)
        page.goto(address)
        self.requests = [url for url in self.requests if url != address]

    def _dismiss(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@contextlib.contextmanager
def opened(browser, address, *, width=1280, height=900, scheme="light", **options):
    """Open an address in a window of this size, and close it at the end."""
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **options
    )
    try:
        yield Sheet(page, address)
    finally:
        page.close()


@pytest.fixture(scope="module")
def chromium():
    """Chromium for the tests of a file: a playwright that is started has an event loop in this thread."""
    with started_chromium() as browser:
        yield browser
