"""Memory that all TLS sockets of a loop share: there is nothing to splice, so there are no pipes."""

from typing import Final

from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool

RECORDS_BYTES: Final = 32 * 1024


class TlsMemory(Memory):
    """Buffers of the connections over TLS sockets, and of the records that these read."""

    def __init__(self) -> None:
        super().__init__(PipePool(0))
        self.records_view = memoryview(bytearray(RECORDS_BYTES))
