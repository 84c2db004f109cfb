"""The packages whose import brings supported clients; apart, so that waiting for them loads nothing else."""

from typing import Final

PACKAGES: Final = ("binance",)
