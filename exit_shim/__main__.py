"""`python -m exit_shim` and the `exit-shim` command."""

import sys


def main() -> None:
    """Run the command line, or say how to get it: an extra, so that old bots carry no more than they use."""
    try:
        from exit_shim.cli import app  # noqa: PLC0415 - its packages are an extra
    except ModuleNotFoundError as missing:
        if missing.name not in {"click", "rich"}:
            raise
        sys.exit(f"exit-shim's commands need {missing.name}: pip install 'exit_shim[cli]'")
    app(prog_name="exit-shim")


if __name__ == "__main__":
    main()
