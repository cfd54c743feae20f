"""`python -m towonel.client` is the command `towonel`."""

from towonel.client.cli.app import app


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    app(prog_name="towonel")


if __name__ == "__main__":
    main()
