"""The hub as a program: `towonel-hub`, or `python -m towonel.hub`."""

import gc
import sys

from towonel.runtime.environment.health_check import check_health
from towonel.runtime.interrupts import end_at_interrupt
from towonel.runtime.left_out import leave_out_unused
from towonel.wire.addresses import HEALTH_LISTENERS


def main() -> None:
    """Run the hub, or one of its commands, and exit with its code."""
    end_at_interrupt()
    if sys.argv[1:] == ["--health"]:  # which is asked often, and needs none of the imports below
        sys.exit(check_health(*HEALTH_LISTENERS["hub"]))
    leave_out_unused()
    # What is imported stays: to look through it for garbage takes a third of the imports' time, and
    # delays a running hub by 0.1 s each time.
    gc.disable()
    from towonel.hub import cli  # noqa: PLC0415 once nothing looks for garbage

    gc.freeze()
    gc.enable()
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
