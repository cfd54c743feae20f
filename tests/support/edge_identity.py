"""Identity of the edge in tests of lanes: its certificate and key, and what agents know it by."""

from datetime import UTC, datetime

from towonel.identity.certs import certificate_sha256, create_certificate, encode_private_key
from towonel.identity.keys import NodeKey

_NODE_KEY = NodeKey.from_seed(bytes(range(32)))
CERTIFICATE = create_certificate(_NODE_KEY, datetime(2026, 1, 1, tzinfo=UTC))
KEY = encode_private_key(_NODE_KEY)
EDGE_ID, CERTIFICATE_HASH = _NODE_KEY.public, certificate_sha256(CERTIFICATE)
