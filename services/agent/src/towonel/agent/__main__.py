"""Entry point of the agent: `towonel-agent`, or `python -m towonel.agent`."""

import os
import sys

from towonel.runtime.environment.health_check import check_health
from towonel.runtime.interrupts import end_at_interrupt
from towonel.runtime.left_out import leave_out_unused
from towonel.wire.addresses import HEALTH_LISTENERS


def main() -> None:
    """Run the agent until a signal ends it, and exit with its code."""
    end_at_interrupt()
    if sys.argv[1:] == ["--health"]:  # which is asked often, and needs none of the imports below
        sys.exit(check_health(*HEALTH_LISTENERS["agent"], _find_health_address()))
    leave_out_unused()
    from towonel.agent import cli  # noqa: PLC0415 Ctrl-C may come while it is imported

    cli.main()


def _find_health_address() -> tuple[str, int] | None:
    """Return where a configuration file says that health is served, if the environment names a file."""
    if not any(name.startswith("TOWONEL_AGENT_CONFIG") for name in os.environ):  # noqa: TID251
        return None
    from towonel.agent.configuration.config_file import find_health_address  # noqa: PLC0415

    return find_health_address()


if __name__ == "__main__":
    main()
