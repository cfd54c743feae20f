"""Table of an agent's origins: which of them a client is for."""

from collections.abc import Mapping

from towonel.wire.names import Hostname, ServiceKey, wildcard_of
from towonel.wire.preamble import Preamble


class OriginTable[O]:
    """Table of the environment's origins, by service."""

    def __init__(self, origins: Mapping[ServiceKey, O]) -> None:
        self._origins = origins

    def find(self, preamble: Preamble) -> O | None:
        """Return the origin of a preamble's service, or None if there is none for the name it asks for."""
        origin = self._origins.get(preamble.service)
        name = preamble.authority
        if origin is None or name is None:
            return origin
        pattern = Hostname(preamble.service.name)
        return origin if pattern in {name, wildcard_of(name)} else None
