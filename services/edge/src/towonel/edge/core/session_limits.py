"""Limits on the sessions of agents: how many at once, and what is held for those of one tenant."""

from dataclasses import dataclass

from towonel.wire.errors import Code

MIB = 1024 * 1024
MAX_SESSIONS = 10_000
MAX_SESSIONS_PER_TENANT = 128  # a hub lets a tenant have 100 agents, and some are being replaced
MAX_SEND_MIB_PER_TENANT = 256
MAX_RECEIVE_MIB_PER_TENANT = 256


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Limits on sessions at once, and on bytes that are held for those of a tenant."""

    sessions: int
    per_tenant: int
    send_bytes_per_tenant: int  # that no agent has acknowledged
    receive_bytes_per_tenant: int  # that no client has taken

    def refuse(self, sessions: int, of_tenant: int) -> Code | None:
        """Return the code with which one more session is refused, beside those there are."""
        is_full = sessions >= self.sessions or of_tenant >= self.per_tenant
        return Code.LIMIT_EXCEEDED if is_full else None


DEFAULT_LIMITS = SessionLimits(
    MAX_SESSIONS,
    MAX_SESSIONS_PER_TENANT,
    MAX_SEND_MIB_PER_TENANT * MIB,
    MAX_RECEIVE_MIB_PER_TENANT * MIB,
)
