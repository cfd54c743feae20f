"""Decoder of server-sent events from a byte stream, cut anywhere.

    id: 7⏎ event: tenant.suspended⏎ data: {"id": 7, …}⏎ ⏎      ⏎ is LF, CR LF or CR

Lines that begin with a colon are comments; they only show that the connection is alive.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from towonel.wire.errors import Code, ProtocolError

MAX_EVENT_BYTES = 1024 * 1024  # of one event: the longest change of a tenant has a tenth of that
_BOM = b"\xef\xbb\xbf"
_END_OF_LINE = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is the last one seen, and empty if the sender gave none."""

    name: str
    data: str
    id: str = ""


class EventDecoder:
    """Decoder of an event stream; an event that is cut off at its end is dropped.

    Args:
        max_bytes: of one event, as received, and of one line of any kind.
    Source: WHATWG HTML §9.2.6.
    """

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._line = bytearray()  # the line that is not complete yet
        self._data = bytearray()  # of the event that is not, each line with a LF after it
        self._name = b""
        self._id = b""
        self._is_first_line = True
        self._after_cr = False  # a LF that comes next belongs to that CR

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield every event that `data` completes; keep the rest.

        Raises:
            ProtocolError: TOO_LARGE, or MALFORMED if it is not UTF-8; the decoder is of no use
                after that.
        """
        if not data:
            return
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        *ends, rest = _END_OF_LINE.split(data)
        for end in ends:
            self._keep(end)
            line = bytes(self._line)
            self._line.clear()
            event = self._read(line)
            if event is not None:
                yield event
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        if len(self._line) + len(piece) + len(self._data) > self._max_bytes:
            raise ProtocolError(Code.TOO_LARGE, f"an event of more than {self._max_bytes} bytes")
        self._line += piece

    def _read(self, line: bytes) -> Event | None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._complete()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match field:
            case b"data":
                self._data += value + b"\n"
            case b"event":
                self._name = value
            case b"id" if b"\0" not in value:
                self._id = value
            case _:  # a comment, `retry`, or a field of tomorrow
                pass
        return None

    def _complete(self) -> Event | None:
        name, data = self._name, bytes(self._data)
        self._name = b""
        self._data.clear()
        if not data:
            return None
        try:
            return Event(name.decode() or "message", data[:-1].decode(), self._id.decode())
        except UnicodeDecodeError:
            raise ProtocolError(Code.MALFORMED, "an event that is not UTF-8") from None
