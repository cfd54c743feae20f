"""Address of the other end of a session's sealed packets, which may change, and is believed once it has answered."""

from typing import Final

AMPLIFICATION: Final = (
    3  # bytes that may go to an address for each that came from it, before it has answered
)


class PeerAddress[A]:
    """Address that packets go to.

    Attributes:
        address: source of the authentic packet with the highest counter; None before the first.
        is_valid: whether it has answered what was sent there.
    """

    def __init__(self) -> None:
        self.address: A | None = None
        self.is_valid = False
        self._room = 0

    def note_packet(self, address: A, size: int, *, is_newest: bool) -> bool:
        """Note an authentic packet; return whether the address is another, which is to be asked."""
        if address is self.address and self.is_valid:
            return False
        has_changed = is_newest and address != self.address
        if has_changed:
            self.address, self.is_valid, self._room = address, False, 0
        if address == self.address and not self.is_valid:
            self._room += AMPLIFICATION * size
        return has_changed

    def may_send(self, size: int) -> bool:
        """Whether a packet of this size may go there; one that may is counted."""
        if self.is_valid:
            return True
        if self._room < size:
            return False
        self._room -= size
        return True

    def validate(self) -> None:
        """Believe the address: it has answered."""
        self.is_valid = True
