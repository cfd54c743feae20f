"""Entry point of the agent: `towonel-agent`, or `python -m towonel.agent`."""

from towonel.runtime.interrupts import end_at_interrupt
from towonel.runtime.left_out import leave_out_rich


def main() -> None:
    """Run the agent until a signal ends it, and exit with its code."""
    end_at_interrupt()
    leave_out_rich()
    from towonel.agent import cli  # noqa: PLC0415 Ctrl-C may come while it is imported

    cli.main()


if __name__ == "__main__":
    main()
