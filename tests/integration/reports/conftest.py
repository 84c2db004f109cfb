"""What the tests of reports share: a real browser."""

from browser import chromium

__all__ = ["chromium"]
