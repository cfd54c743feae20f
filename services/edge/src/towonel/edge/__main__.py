"""Entry point of the edge: `towonel-edge`, or `python -m towonel.edge`."""

import sys

from towonel.runtime.environment.health_check import check_health
from towonel.runtime.interrupts import end_at_interrupt
from towonel.runtime.left_out import leave_out_unused
from towonel.wire.addresses import HEALTH_LISTENERS


def main() -> None:
    """Run the edge until a signal ends it, and exit with its code."""
    end_at_interrupt()
    if sys.argv[1:] == ["--health"]:  # which is asked often, and needs none of the imports below
        sys.exit(check_health(*HEALTH_LISTENERS["edge"]))
    leave_out_unused()
    from towonel.edge import cli  # noqa: PLC0415 Ctrl-C may come while it is imported

    cli.main()


if __name__ == "__main__":
    main()
