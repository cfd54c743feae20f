"""Secrets of sealed packets, by the session that each is of."""

import secrets

from towonel.relay.flows.session import SECRETS
from towonel.wire.messages import SECRET_BYTES
from towonel.wire.udp.datagrams import MAX_INDEX


class FlowSecrets:
    """Secrets of sealed packets; the index that names one in packets is of no other session."""

    def __init__(self) -> None:
        self._known: dict[bytes, list[tuple[int, bytes]]] = {}  # by session, the newest last
        self._indexes: set[int] = set()

    def __contains__(self, session_id: bytes) -> bool:
        """Whether a session has any."""
        return session_id in self._known

    def find(self, session_id: bytes) -> list[tuple[int, bytes]]:
        """Return the index and secret of each that a session may use, the newest last."""
        return self._known[session_id]

    def add(self, session_id: bytes) -> tuple[int, bytes]:
        """Make a new one for a session, in place of its oldest; return its index and itself."""
        index = secrets.randbelow(MAX_INDEX + 1)
        while index in self._indexes:
            index = secrets.randbelow(MAX_INDEX + 1)
        known = self._known.setdefault(session_id, [])
        known.append((index, secrets.token_bytes(SECRET_BYTES)))
        self._indexes.add(index)
        self._indexes.difference_update(old for old, _ in known[:-SECRETS])
        del known[:-SECRETS]
        return known[-1]

    def forget(self, session_id: bytes) -> bool:
        """Forget those of a session, and return whether it had any."""
        known = self._known.pop(session_id, None)
        if known is None:
            return False
        self._indexes.difference_update(index for index, _ in known)
        return True
