"""Limits that the settings of an edge set for its agents."""

from towonel.edge.core.session_limits import MIB, SessionLimits
from towonel.edge.settings import EdgeSettings
from towonel.tunnel.core.bounds.handshake_places import HandshakeLimits


def find_session_limits(settings: EdgeSettings) -> SessionLimits:
    """Return the limits on sessions of agents."""
    return SessionLimits(
        settings.max_sessions,
        settings.max_sessions_per_tenant,
        settings.max_send_buffer_per_tenant_mib * MIB,
        settings.max_receive_buffer_per_tenant_mib * MIB,
        settings.max_services_per_tenant,
        settings.admissions_per_sec,
    )


def find_handshake_limits(settings: EdgeSettings) -> HandshakeLimits:
    """Return the limits on handshakes of agents."""
    return HandshakeLimits(per_s=settings.handshakes_per_sec, burst=settings.handshakes_burst)
