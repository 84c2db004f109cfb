"""`python -m exit_shim` and the `exit-shim` command."""

import os
import sys


def main() -> None:
    """Run the command line, or name the extra that it needs."""
    # A bot must find the streams that Python gives it, closed ones too.
    if sys.argv[1:2] != ["run"]:
        open_missing_streams()
    try:
        from exit_shim.cli import app  # noqa: PLC0415 - click belongs to the extra `cli`
    except ModuleNotFoundError as missing:
        if missing.name != "click":
            raise
        sys.exit("exit-shim's commands need click: pip install 'exit_shim[cli]'")
    app(prog_name="exit-shim")


def open_missing_streams() -> None:
    """Replace closed standard streams (`>&-`); a later write to stdout fails, and the command reports it."""
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)
            stream = os.fdopen(descriptor, "r" if name == "stdin" else "w", encoding="utf-8")
            setattr(sys, name, stream)


if __name__ == "__main__":
    main()
