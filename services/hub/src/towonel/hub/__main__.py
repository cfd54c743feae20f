"""`python -m towonel.hub`, `towonel-hub`."""

from towonel.hub.cli import app


def main() -> None:
    """Run the hub, or the command that was given."""
    app(prog_name="towonel-hub")


if __name__ == "__main__":
    main()
