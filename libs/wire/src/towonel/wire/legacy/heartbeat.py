"""Codec of the original's heartbeat: the body that an agent signs.

CBOR {tenant_id: 32 bytes, agent_id: 32 bytes}, in this order of keys.
"""

from dataclasses import dataclass

from towonel.wire import cbor
from towonel.wire.cbor import Fields
from towonel.wire.ids import ID_BYTES, AgentId, TenantId


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Heartbeat of an agent, which speaks for a tenant."""

    tenant_id: TenantId
    agent_id: AgentId


def encode_heartbeat(heartbeat: Heartbeat) -> bytes:
    """Return the body of the request."""
    return cbor.encode({"tenant_id": heartbeat.tenant_id, "agent_id": heartbeat.agent_id})


def decode_heartbeat(data: bytes) -> Heartbeat:
    """Return the heartbeat that a body holds.

    Raises:
        ProtocolError: MALFORMED.
    """
    fields = Fields.of(cbor.decode(data))
    return Heartbeat(
        TenantId(fields.octets("tenant_id", ID_BYTES)),
        AgentId(fields.octets("agent_id", ID_BYTES)),
    )
