"""The legacy bot as it is, and beside it the owner that its exits are to be given to."""

import runpy
import sys
from pathlib import Path

from exit_brain_executor import make_owner

LEGACY = Path(__file__).parent.parent / "legacy_bot"

if __name__ == "__main__":
    sys.path.insert(0, str(LEGACY))
    owner = make_owner()
    owner.start()
    try:
        runpy.run_path(str(LEGACY / "main.py"), run_name="__main__")
    finally:
        owner.stop()
        owner.protect()  # the last round: what the closed positions leave behind
