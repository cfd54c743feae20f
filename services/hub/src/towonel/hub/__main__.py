"""`python -m towonel.hub`, `towonel-hub`: run the hub."""

import sys
from functools import partial

from towonel.hub.app import serve
from towonel.hub.settings import HubSettings
from towonel.runtime import lifecycle, logs

SECRET_MARKS = ("tt_inv_2_", "tt_edge_2_")


def _prepared(settings: HubSettings) -> tuple[lifecycle.Serve, float]:
    logs.configure(settings.log_level, settings.log_format, "hub", redact=SECRET_MARKS)
    return partial(serve, settings), settings.drain_timeout_secs + 5


def main() -> None:
    """Run until a signal, and exit with the lifecycle's code."""
    sys.exit(lifecycle.main(HubSettings, _prepared))


if __name__ == "__main__":
    main()
