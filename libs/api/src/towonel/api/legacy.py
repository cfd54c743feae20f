"""Bodies that only the original's programs read."""

from typing import Literal

from towonel.api.bodies import Answer


class HeartbeatOut(Answer):
    """That the hub heard an agent of the original's, and in how many seconds to call again."""

    status: Literal["ok"] = "ok"
    next_interval_secs: int = 20
