"""The legacy bot as it is, and beside it the owner that its exits are to be given to."""

import runpy
import sys
from pathlib import Path

from exit_brain_executor import ExitBrainExecutor

LEGACY = Path(__file__).parent.parent / "legacy_bot"

if __name__ == "__main__":
    sys.path.insert(0, str(LEGACY))
    owner = ExitBrainExecutor()
    owner.start()
    try:
        runpy.run_path(str(LEGACY / "main.py"), run_name="__main__")
    finally:
        owner.stop()
