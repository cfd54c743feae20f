"""Log lines about origins, of which clients can cause any number."""

from towonel.agent.core.services import MAX_SERVICES
from towonel.runtime.log_limit import LogLimit
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey

HINT_INTERVAL_S = 60.0
HINT = (
    "the origin closed right after a PROXY header; does it read PROXY v2? else set "
    '"proxy_protocol": "none" for this service'
)


class OriginLog:
    """Log of refused clients and of PROXY headers that were not read, by service."""

    def __init__(self) -> None:
        self._refusals = LogLimit()
        self._hints = LogLimit(interval_s=HINT_INTERVAL_S, max_keys=MAX_SERVICES)

    def refuse(self, service: ServiceKey, code: Code, detail: str = "", *, times: int = 1) -> None:
        """Say that clients of a service were refused."""
        key = str(service)
        facts = {"service_key": key, "code": code.word, "detail": detail}
        self._refusals.warning("stream.refused", key=key, times=times, **facts)

    def hint(self, service: ServiceKey, origin: object, *, times: int = 1) -> None:
        """Say that an origin did not read its PROXY header: the commonest mistake."""
        key = str(service)
        facts = {"service_key": key, "origin": str(origin), "hint": HINT}
        self._hints.warning("origin.header_unread", key=key, times=times, **facts)

    def flush(self) -> None:
        """Write what was counted instead of logged: at the end of the process."""
        self._refusals.flush()
        self._hints.flush()
