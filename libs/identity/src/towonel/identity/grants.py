"""Grants: tokens signed by the hub that let an agent speak for a tenant, for a while.

CBOR {payload: bytes, signature: bytes}; the Ed25519 signature covers a domain and the payload,
CBOR {v: 1, agent, tenant, group, not_before, not_after}, times in Unix ms.
"""

from collections.abc import Collection
from dataclasses import dataclass

from towonel.identity.keys import NODE_SIGNATURE_BYTES, NodeKey, verify_node
from towonel.wire import cbor
from towonel.wire.cbor import Fields
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import ID_BYTES, AgentId, TenantId
from towonel.wire.names import parse_group

GRANT_LIFETIME_MS = 24 * 3600 * 1000
CLOCK_TOLERANCE_MS = 300_000  # hub and edge may disagree about the time by this much
_DOMAIN = b"towonel/grant/v1"
_VERSION = 1
_MAX_PAYLOAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class Grant:
    """Grant: the agent, the tenant it may speak for, and when."""

    agent_id: AgentId
    tenant_id: TenantId
    group: str
    not_before_ms: int
    not_after_ms: int


def issue(hub: NodeKey, grant: Grant) -> bytes:
    """Return the token of a grant, signed by the hub."""
    payload = cbor.encode(
        {
            "v": _VERSION,
            "agent": grant.agent_id,
            "tenant": grant.tenant_id,
            "group": grant.group,
            "not_before": grant.not_before_ms,
            "not_after": grant.not_after_ms,
        }
    )
    return cbor.encode({"payload": payload, "signature": hub.sign(_DOMAIN + payload)})


def verify(token: bytes, hub_ids: Collection[bytes], now_ms: int) -> Grant:
    """Return the grant that one of the hubs signed, if it holds now.

    Raises:
        Denied: GRANT_INVALID for one that is broken or not of these hubs, GRANT_EXPIRED.
    """
    payload, signature = _split(token)
    if not any(_is_signed_by(hub, signature, payload) for hub in hub_ids):
        raise Denied(Code.GRANT_INVALID, "not signed by this edge's hub")
    grant = _parse(payload)
    if now_ms < grant.not_before_ms - CLOCK_TOLERANCE_MS:
        raise Denied(Code.GRANT_INVALID, "it is for a time to come: compare the clocks")
    if now_ms >= grant.not_after_ms:
        raise Denied(Code.GRANT_EXPIRED, f"ended {(now_ms - grant.not_after_ms) // 1000} s ago")
    return grant


def _split(token: bytes) -> tuple[bytes, bytes]:
    try:
        fields = Fields.of(cbor.decode(token))
        payload = fields.octets("payload", at_most=_MAX_PAYLOAD_BYTES)
        return payload, fields.octets("signature", NODE_SIGNATURE_BYTES)
    except ProtocolError as error:
        raise Denied(Code.GRANT_INVALID, error.detail) from error


def _parse(payload: bytes) -> Grant:
    try:
        fields = Fields.of(cbor.decode(payload))
        if fields.uint("v") != _VERSION:
            raise Denied(Code.GRANT_INVALID, f"of version {fields.uint('v')}")
        return Grant(
            AgentId(fields.octets("agent", ID_BYTES)),
            TenantId(fields.octets("tenant", ID_BYTES)),
            parse_group(fields.text("group", 63)),
            fields.uint("not_before"),
            fields.uint("not_after"),
        )
    except ProtocolError as error:
        raise Denied(Code.GRANT_INVALID, error.detail) from error


def _is_signed_by(hub: bytes, signature: bytes, payload: bytes) -> bool:
    try:
        verify_node(hub, signature, _DOMAIN + payload)
    except Denied:
        return False
    return True
