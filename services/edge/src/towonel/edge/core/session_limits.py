"""Limits on the sessions of agents: how many, how often, and what is held for those of one tenant."""

from dataclasses import dataclass

from towonel.wire.errors import Code

MIB = 1024 * 1024
MAX_SESSIONS = 10_000
MAX_SESSIONS_PER_TENANT = 128  # a hub lets a tenant have 100 agents, and some are being replaced
MAX_SERVICES_PER_TENANT = 20_000  # a hub lets a tenant have 10 000, and all are being replaced
ADMISSIONS_PER_S = 10.0  # of one tenant: more than a hundred agents that dial every 30 s
MIN_ADMISSION_BURST = 32
MAX_SEND_MIB_PER_TENANT = 256
MAX_RECEIVE_MIB_PER_TENANT = 256


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Limits on sessions, and on services and bytes that are held for those of a tenant."""

    sessions: int
    per_tenant: int
    send_bytes_per_tenant: int  # that no agent has acknowledged
    receive_bytes_per_tenant: int  # that no client has taken
    services_per_tenant: int = MAX_SERVICES_PER_TENANT  # different ones, of all its sessions
    admissions_per_s: float = ADMISSIONS_PER_S  # of one tenant

    @property
    def admission_burst(self) -> int:
        """Admissions of a tenant at once: all its agents dial again, and once more."""
        return max(2 * self.per_tenant, MIN_ADMISSION_BURST)

    def refuse(self, sessions: int, of_tenant: int) -> Code | None:
        """Return the code with which one more session is refused, beside those there are."""
        is_full = sessions >= self.sessions or of_tenant >= self.per_tenant
        return Code.LIMIT_EXCEEDED if is_full else None

    def refuse_services(self, of_tenant: int) -> Code | None:
        """Return the code with which a session is refused that gives its tenant so many services."""
        return Code.QUOTA_EXCEEDED if of_tenant > self.services_per_tenant else None


DEFAULT_LIMITS = SessionLimits(
    MAX_SESSIONS,
    MAX_SESSIONS_PER_TENANT,
    MAX_SEND_MIB_PER_TENANT * MIB,
    MAX_RECEIVE_MIB_PER_TENANT * MIB,
)
