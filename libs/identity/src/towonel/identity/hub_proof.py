"""Proof that an edge runs beside its hub: it has the hub's key, and may say whose connections it passes on.

The bytes go with the PROXY v2 header of a connection to the hub's own port, as a TLV of this type.
"""

from typing import Final

from towonel.identity.keys import NodeKey, secrets_equal
from towonel.wire.proxy import ProxyHeader

TLV_HUB_PROOF: Final = 0xE8  # of the range that is left to applications
_CONTEXT: Final = "towonel 2026-11 edge beside its hub"


def make_hub_proof(key: NodeKey) -> bytes:
    """Return the proof of who has a hub's key."""
    return key.derive(_CONTEXT)


def has_hub_proof(header: ProxyHeader, proof: bytes) -> bool:
    """Whether a header comes from an edge that has the hub's key."""
    return any(kind == TLV_HUB_PROOF and secrets_equal(value, proof) for kind, value in header.tlvs)
