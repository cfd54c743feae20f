"""`python -m towonel.hub`, `towonel-hub`."""

import gc


def main() -> None:
    """Run the hub, or the command that was given."""
    # What is imported stays: looking through it for garbage takes a third of the imports' time, and
    # holds a running hub up for 0.1 s each time.
    gc.disable()
    from towonel.hub.cli import app  # noqa: PLC0415 once nothing looks for garbage

    gc.freeze()
    gc.enable()
    app(prog_name="towonel-hub")


if __name__ == "__main__":
    main()
